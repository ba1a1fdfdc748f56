#!/usr/bin/env python3
"""Drives `callsheet serve` with OpenAI's own Python client: python3 .ci/openai_client.py target/debug/callsheet

Needs the package `openai` from PyPI, 3.57 or later. Says a line for each check; ends with 1 if one fails.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import openai

TOKEN = "a-token-for-this-run-alone"
QUESTION = "What's the weather in Tokyo, and what's AAPL's stock price?"
MIXED = "What's the weather in Tokyo, and look up the phone number of Ann Smith?"
SLOW = "What's the latest news about AI?"
PHONE = {
    "type": "function",
    "function": {
        "name": "look_up_phone_number",
        "description": "Looks up the phone number of a person",
        "parameters": {
            "type": "object",
            "properties": {"person": {"type": "string", "description": "Name of the person"}},
            "required": ["person"],
        },
    },
}
SETTINGS = ["model.provider=offline", "store.url=memory:", "tools[2].simulate.latency_ms=40000"]
# With a limit it is counted how many run.
SETTINGS += ["tools[2].time_limit_ms=60000", "tools[2].max_concurrency=8"]

failures = 0


def check(what, holds, seen=""):
    global failures
    failures += not holds
    print(f"{'ok    ' if holds else 'FAILED'} {what}" + ("" if holds else f": {seen}"), flush=True)


def asked(text):
    return [{"role": "user", "content": text}]


def serve(binary, directory):
    config = os.path.join(directory, "config.toml")
    with open(config, "w") as file:
        file.write('[[server.tokens]]\nname = "ci"\nenv = "CI_TOKEN"\n')
    command = [binary, "--config", config]
    for setting in SETTINGS:
        command += ["--set", setting]
    command += ["serve", "--bind", "127.0.0.1:0"]
    server = subprocess.Popen(
        command, cwd=directory, stdout=subprocess.PIPE, text=True, env={**os.environ, "CI_TOKEN": TOKEN}
    )
    return server, server.stdout.readline().strip()


def refused(kind, ask):
    try:
        return None, ask()
    except kind as error:
        return error, error


def whole(client):
    answer = client.chat.completions.create(model="gpt-x", messages=asked(QUESTION))
    choice = answer.choices[0]
    text = choice.message.content or ""
    check("whole: answers from our tools", "Tokyo" in text and "AAPL" in text, answer)
    check("whole: ends with `stop`", choice.finish_reason == "stop", choice)
    check("whole: shows no call of ours", not choice.message.tool_calls, choice)
    usage = answer.usage
    check("whole: counts tokens", usage and usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0, usage)


def streamed(client):
    began, text, finish, usage = time.monotonic(), "", None, None
    options = {"include_usage": True}
    with client.chat.completions.create(model="gpt-x", messages=asked(QUESTION), stream=True, stream_options=options) as chunks:
        pieces = 0
        for chunk in chunks:
            usage = chunk.usage or usage
            for choice in chunk.choices:
                pieces += bool(choice.delta.content)
                text += choice.delta.content or ""
                finish = choice.finish_reason or finish
    took = time.monotonic() - began
    check("streamed: answers from our tools", "Tokyo" in text and "AAPL" in text, text)
    check("streamed: comes in pieces", pieces > 1, pieces)
    check("streamed: ends with `stop`, and counts", finish == "stop" and usage and usage.total_tokens > 0, (finish, usage))
    check("streamed: our two tools of 300 ms ran at once", took < 0.59, took)
    with client.chat.completions.stream(model="gpt-x", messages=asked(QUESTION)) as stream:
        final = stream.get_final_completion()
    check("streamed: the client's own collector reads it", "Tokyo" in (final.choices[0].message.content or ""), final)


def mixed(client):
    messages = asked(MIXED)
    answer = client.chat.completions.create(model="gpt-x", messages=messages, tools=[PHONE])
    choice = answer.choices[0]
    calls = choice.message.tool_calls or []
    names = [call.function.name for call in calls]
    check("mixed: the client's call is returned alone", names == ["look_up_phone_number"], choice)
    check("mixed: ends with `tool_calls`", choice.finish_reason == "tool_calls", choice)
    if not calls:
        return
    check("mixed: its arguments are JSON", "person" in json.loads(calls[0].function.arguments), calls)
    messages.append(choice.message)
    messages.append({"role": "tool", "tool_call_id": calls[0].id, "content": '{"phone": "555-0199"}'})
    time.sleep(0.5)  # Ours runs meanwhile.
    began = time.monotonic()
    answer = client.chat.completions.create(model="gpt-x", messages=messages, tools=[PHONE])
    took, text = time.monotonic() - began, answer.choices[0].message.content or ""
    check("mixed: both results are told", "555-0199" in text and "Tokyo" in text, answer)
    check("mixed: our tool had run meanwhile", took < 0.25, took)
    again = client.chat.completions.create(model="gpt-x", messages=messages, tools=[PHONE])
    check("mixed: a second time it is plain history", again.choices[0].message.content is not None, again)

    with client.chat.completions.stream(model="gpt-x", messages=asked(MIXED), tools=[PHONE]) as stream:
        final = stream.get_final_completion().choices[0]
    calls = final.message.tool_calls or []
    check("mixed: the same, streamed", final.finish_reason == "tool_calls" and len(calls) == 1, final)

    missing = asked(MIXED) + [final.message.model_dump(exclude={"parsed"}, exclude_none=True)] + asked("well?")
    error, seen = refused(openai.BadRequestError, lambda: client.chat.completions.create(model="gpt-x", messages=missing))
    check("mixed: calls without results are refused", error and error.param == "messages[2]", seen)


def errors(client, url):
    error, seen = refused(openai.BadRequestError, lambda: client.chat.completions.create(model="x", messages=asked("hi"), n=2))
    check("errors: `n` is named", error and error.param == "n", seen)
    taken = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
    error, seen = refused(
        openai.BadRequestError, lambda: client.chat.completions.create(model="x", messages=asked("hi"), tools=[taken])
    )
    check("errors: a name in both sets is named", error and error.param == "tools[0].function.name", seen)
    other = openai.OpenAI(base_url=url + "/v1", api_key="wrong-token-of-some-length", max_retries=0)
    error, seen = refused(openai.AuthenticationError, lambda: other.chat.completions.create(model="x", messages=asked("hi")))
    check("errors: a wrong token is none", error, seen)
    error, seen = refused(openai.NotFoundError, lambda: client.models.retrieve("no-such-model"))
    check("errors: an unknown model is not found", error, seen)
    check("models: the configured one is listed", len(client.models.list().data) == 1, client.models.list())


def in_flight(url):
    request = urllib.request.Request(url + "/v1/tools", headers={"authorization": f"Bearer {TOKEN}"})
    tools = json.load(urllib.request.urlopen(request))["tools"]
    [news] = [tool for tool in tools if tool["name"] == "get_news_headlines"]
    return news["in_flight"] if "in_flight" in news else news["health"]["running"]


def waits_for(holds, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


def cancels(client, url):
    chunks = client.chat.completions.create(model="x", messages=asked(SLOW), stream=True)
    opened = threading.Thread(target=lambda: next(iter(chunks), None), daemon=True)
    opened.start()
    check("closing: the tool runs", waits_for(lambda: in_flight(url) == 1, 17), in_flight(url))
    chunks.close()
    check("closing a stream ends the tool", waits_for(lambda: in_flight(url) == 0, 1), in_flight(url))
    short = client.with_options(timeout=1, max_retries=0)
    error, seen = refused(openai.APITimeoutError, lambda: short.chat.completions.create(model="x", messages=asked(SLOW)))
    check("closing: a client that waits no longer goes away", error, seen)
    check("closing a request ends the tool", waits_for(lambda: in_flight(url) == 0, 1), in_flight(url))


def main(binary):
    with tempfile.TemporaryDirectory() as directory:
        server, url = serve(os.path.abspath(binary), directory)
        try:
            client = openai.OpenAI(base_url=url + "/v1", api_key=TOKEN)
            whole(client)
            streamed(client)
            mixed(client)
            errors(client, url)
            cancels(client, url)
        finally:
            server.send_signal(signal.SIGTERM)
        status = server.wait(20)
        check("ends with 0 after SIGTERM", status == 0, status)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
    sys.exit(1 if failures else 0)
