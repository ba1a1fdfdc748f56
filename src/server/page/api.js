// Requests to the server. Addresses are relative to the page, which may be mounted anywhere.

import { askToken } from "./dialogs.js";
import { withArguments } from "./text.js";

const KEY = "callsheet.token";

/** A request that was refused, or did not get through (`status` 0). */
export class Refused extends Error {
  constructor(status, { title, code = null, detail = null }) {
    super(detail ?? title);
    Object.assign(this, { name: "Refused", status, title, code, detail });
    // Another try would not mend it.
    this.isFinal = status >= 400 && status < 500 && ![408, 425, 429].includes(status);
  }
}

let isDeclined = false;

/** The token of this tab. `changed` is called when there is another one, or none. */
export const token = {
  changed: () => {},
  get: () => sessionStorage.getItem(KEY),
  isDeclined: () => isDeclined,
  set(value) {
    isDeclined = false;
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
    token.changed();
  },
  decline() {
    isDeclined = true;
    token.changed();
  },
};

/** Sends a request. Answers with the response, or throws what refused it. */
export async function send(method, path, { body, text = body && JSON.stringify(body), headers = {}, signal } = {}) {
  for (;;) {
    const used = token.get();
    const all = { accept: "application/json", ...headers };
    if (used) all.authorization = `Bearer ${used}`;
    if (text !== undefined) all["content-type"] = "application/json";
    const response = await reach(path, { method, headers: all, signal, cache: "no-store", body: text });
    if (response.ok) return response;
    const refused = await problemOf(response);
    if (response.status !== 401) throw refused;
    if (used !== token.get()) continue; // There is another one by now.
    const given = isDeclined ? null : await askToken(used !== null);
    if (given === null) {
      token.decline();
      throw refused;
    }
    if (given !== token.get()) token.set(given);
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused(0, { title: "The server cannot be reached", code: "unreachable" });
  }
}

async function problemOf(response) {
  const { status, statusText } = response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // A proxy, perhaps: the status has to do.
  }
  const detail = problem.detail ?? (status === 429 && response.headers.get("retry-after")
    ? `Again in ${response.headers.get("retry-after")} s.` : null);
  return new Refused(status, { title: problem.title ?? (statusText || `Status ${status}`), code: problem.code ?? null, detail });
}

const json = async (...request) => (await send(...request)).json();
const of = (id) => `v1/sessions/${encodeURIComponent(id)}`;
const tool = (name) => `v1/tools/${encodeURIComponent(name)}`;

export const sessions = (after = null) =>
  json("GET", after === null ? "v1/sessions?limit=50" : `v1/sessions?limit=50&after=${encodeURIComponent(after)}`);
export const newSession = () => json("POST", "v1/sessions", { body: {} });
export const session = (id) => json("GET", of(id));
export const round = (id, number) => json("GET", `${of(id)}/rounds/${number}`);
export const cancel = (id, call = null) => json("POST", `${of(id)}/cancel`, { body: call === null ? {} : { call } });
export const decide = (id, call, decision, args = null) =>
  json("POST", `${of(id)}/approvals/${encodeURIComponent(call)}`, { text: withArguments(decision, args) });
export const tools = () => json("GET", "v1/tools");
export const callTool = (name, args) => json("POST", `${tool(name)}/call`, { text: withArguments({}, args) });
export const restartTool = (name) => json("POST", `${tool(name)}/restart`);

/** Asks. It is under way once this is over; what happens is told by the session's events. */
export async function ask(id, content, key) {
  const headers = { accept: "text/event-stream", "idempotency-key": key };
  const response = await send("POST", `${of(id)}/messages`, { body: { content }, headers });
  response.body?.cancel().catch(() => {}); // Going away cancels nothing.
}

/** Goes on with a turn that was cut; as `ask`. */
export async function resume(id) {
  const response = await send("POST", `${of(id)}/resume`, { headers: { accept: "text/event-stream" } });
  response.body?.cancel().catch(() => {});
}

/** The session's events behind number `after`. */
export function events(id, after, signal) {
  const headers = { accept: "text/event-stream" };
  if (after > 0) headers["last-event-id"] = String(after);
  return send("GET", `${of(id)}/events?after=${after}`, { headers, signal });
}

const ENDINGS = { "jsonl": "jsonl", "chrome-trace": "trace.json" };

/** Saves the session in a file. A link would not do: the token travels in a header. */
export async function download(id, format) {
  const response = await send("GET", `${of(id)}/export?format=${format}`, { headers: { accept: "*/*" } });
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = `${id.replace(/[^\w.-]+/g, "_")}.${ENDINGS[format]}`;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** A name for a question, so that asking it twice does no harm. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** How far the reader's clock is ahead of the server's, in microseconds, as a response tells. */
export function skewOf(response) {
  const date = Date.parse(response.headers.get("date") ?? "");
  if (Number.isNaN(date)) return 0;
  const skew = Date.now() - (date + 500); // The header has seconds only.
  return Math.abs(skew) < 2000 ? 0 : skew * 1000;
}
