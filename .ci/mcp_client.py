#!/usr/bin/env python3
"""Drives `callsheet mcp` with the official Python client: python3 .ci/mcp_client.py target/debug/callsheet

Needs the package `mcp` from PyPI, 2.3 or later. Says a line for each check; ends with 1 if one fails.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError

# The demo tools, what each needs to know, and a word of each answer.
CALLS = {
    "get_weather": ({"city": "Tokyo"}, "conditions"),
    "get_stock_price": ({"ticker": "AAPL"}, "price"),
    "get_news_headlines": ({"topic": "AI"}, "headlines"),
}
MODES = {"auto": "2026-07-28", "2026-07-28": "2026-07-28", "legacy": "2025-11-25"}

failures = 0


def check(what, holds, seen=""):
    global failures
    failures += not holds
    print(f"{'ok    ' if holds else 'FAILED'} {what}" + ("" if holds else f": {seen}"), flush=True)


def text(result):
    return result.content[0].text if result.content else ""


async def drive(where, server, mode):
    def is_so(what, holds, seen=""):
        check(f"{where}, {mode}: {what}", holds, seen)

    async with Client(server(), mode=mode, read_timeout_seconds=20) as client:
        revision = client.protocol_version
        is_so(f"speaks {MODES[mode]}", revision == MODES[mode], revision)

        tools = (await client.list_tools()).tools
        names = [tool.name for tool in tools]
        is_so("lists the demo tools", sorted(names) == sorted(CALLS), names)
        hints = [tool.annotations and tool.annotations.read_only_hint for tool in tools]
        is_so("says that they only read", all(hints), hints)

        for name, (arguments, word) in CALLS.items():
            result = await client.call_tool(name, arguments)
            is_so(f"calls {name}", not result.is_error and word in text(result), result)

        began = time.monotonic()
        calls = [client.call_tool(name, arguments) for name, (arguments, _) in CALLS.items()]
        results = await asyncio.gather(*calls)
        took = time.monotonic() - began
        slowest = max(result.meta["callsheet/report"]["ran_ms"] for result in results) / 1000
        is_so("runs three calls at once", took < slowest + 0.25, f"{took} s, {slowest} s the slowest")

        result = await client.call_tool("get_weather", {"town": "Tokyo"})
        outcome = result.meta["callsheet/report"]["outcome"]
        is_so("refuses bad arguments", result.is_error and outcome == "bad_arguments", result)

        try:
            seen = await client.call_tool("no_such_tool", {})
        except MCPError as error:
            seen = error.code
        is_so("does not know other tools", seen == -32602, seen)


def http_server(binary, directory):
    command = [binary, "mcp", "--http", "127.0.0.1:0"]
    server = subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().strip()


async def main(binary):
    binary = os.path.abspath(binary)
    with tempfile.TemporaryDirectory() as directory:
        params = StdioServerParameters(command=binary, args=["mcp"], cwd=directory)
        for mode in MODES:
            await drive("stdio", lambda: stdio_client(params), mode)
        server, url = http_server(binary, directory)
        try:
            for mode in MODES:
                await drive("HTTP", lambda: url, mode)
        finally:
            server.terminate()
        status = server.wait(20)
        check("HTTP: ends with 0 after SIGTERM", status == 0, status)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    asyncio.run(main(sys.argv[1]))
    sys.exit(1 if failures else 0)
