#!/usr/bin/env node
// Drives `callsheet serve` with Vercel's AI SDK: node .ci/ai_sdk_client.mjs target/debug/callsheet
//
// Needs the packages `ai` and `@ai-sdk/openai-compatible` from npm, in $CALLSHEET_NODE_MODULES or beside this file.
// Says a line for each check; ends with 1 if one fails.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const modules = process.env.CALLSHEET_NODE_MODULES;
const require = createRequire(modules ? join(resolve(modules), "x.js") : import.meta.url);
const load = (name) => import(pathToFileURL(require.resolve(name)));
const { generateText, streamText, tool, jsonSchema, isStepCount, stepCountIs } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const steps = isStepCount ?? stepCountIs;

const QUESTION = "What's the weather in Tokyo, and what's AAPL's stock price?";
const MIXED = "What's the weather in Tokyo, and look up the phone number of Ann Smith?";
const SETTINGS = ["model.provider=offline", "store.url=memory:"];

let failures = 0;

function check(what, holds, seen = "") {
    failures += holds ? 0 : 1;
    console.log(`${holds ? "ok    " : "FAILED"} ${what}${holds ? "" : `: ${JSON.stringify(seen)}`}`);
}

async function serve(binary, directory) {
    const args = [...SETTINGS.flatMap((setting) => ["--set", setting]), "serve", "--bind", "127.0.0.1:0"];
    const server = spawn(resolve(binary), args, { cwd: directory, stdio: ["ignore", "pipe", "inherit"] });
    const [url] = await once(createInterface({ input: server.stdout }), "line");
    return { server, url: url.trim() };
}

function phone(asked) {
    return tool({
        description: "Looks up the phone number of a person",
        inputSchema: jsonSchema({
            type: "object",
            properties: { person: { type: "string", description: "Name of the person" } },
            required: ["person"],
        }),
        execute: async (input) => {
            asked.push(input);
            return { phone: "555-0199" };
        },
    });
}

async function drive(url) {
    const provider = createOpenAICompatible({ name: "callsheet", baseURL: `${url}/v1`, includeUsage: true });
    const model = provider("gpt-x");

    const whole = await generateText({ model, prompt: QUESTION });
    check("whole: answers from our tools", whole.text.includes("Tokyo") && whole.text.includes("AAPL"), whole.text);
    check("whole: ends with `stop`, and counts", whole.finishReason === "stop" && whole.usage.totalTokens > 0, whole.usage);

    const stream = streamText({ model, prompt: QUESTION });
    let text = "";
    let pieces = 0;
    for await (const piece of stream.textStream) {
        text += piece;
        pieces += 1;
    }
    check("streamed: answers from our tools", text.includes("Tokyo") && text.includes("AAPL"), text);
    check("streamed: comes in pieces", pieces > 1, pieces);
    const usage = await stream.usage;
    check("streamed: counts", (await stream.finishReason) === "stop" && usage.totalTokens > 0, usage);

    for (const ask of [generateText, streamText]) {
        const asked = [];
        const tools = { look_up_phone_number: phone(asked) };
        const answer = await ask({ model, prompt: MIXED, tools, stopWhen: steps(3) });
        const text = await answer.text;
        check(`${ask.name}: runs its own tool beside ours`, asked.length === 1 && "person" in asked[0], asked);
        check(`${ask.name}: both results are told`, text.includes("555-0199") && text.includes("Tokyo"), text);
        const all = await answer.steps;
        check(`${ask.name}: in two steps`, all.length === 2, all.length);
    }

    const taken = { get_weather: phone([]) };
    const error = await generateText({ model, prompt: "hi", tools: taken, maxRetries: 0 }).catch((error) => error);
    check("errors: a name in both sets is refused", error.statusCode === 400 && /get_weather/.test(error.message), error);

    const aborted = new AbortController();
    setTimeout(() => aborted.abort(), 100);
    const cut = await generateText({ model, prompt: QUESTION, abortSignal: aborted.signal }).catch((error) => error);
    check("closing: an aborted request ends", cut?.name === "AbortError", cut);
}

if (process.argv.length !== 3) {
    console.error("usage: node .ci/ai_sdk_client.mjs BINARY");
    process.exit(1);
}
const directory = mkdtempSync(join(tmpdir(), "callsheet-"));
const { server, url } = await serve(process.argv[2], directory);
try {
    await drive(url);
} finally {
    server.kill("SIGTERM");
}
const [status] = await once(server, "exit");
check("ends with 0 after SIGTERM", status === 0, status);
rmSync(directory, { recursive: true });
process.exit(failures ? 1 : 0);
