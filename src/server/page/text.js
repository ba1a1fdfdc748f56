// How numbers, times and JSON are written.

/** Milliseconds: three digits where they matter. */
export function ms(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 0.05) return "0 ms";
  if (value < 9.95) return `${value.toFixed(1)} ms`;
  if (value < 9_999.5) return `${Math.round(value)} ms`;
  if (value < 119_950) return `${(value / 1000).toFixed(1)} s`;
  const seconds = Math.round(value / 1000);
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min${seconds % 60 ? ` ${seconds % 60} s` : ""}`;
  const hours = (seconds / 3600).toFixed(1);
  return `${hours.replace(/\.0$/, "")} h`;
}

/** Microseconds, written like milliseconds. */
export function us(value) {
  return ms(value === null ? null : value / 1000);
}

/** How long ago `at` (RFC 3339) was. */
export function ago(at, now = Date.now()) {
  const seconds = Math.max(0, (now - Date.parse(at)) / 1000);
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 2) return "now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** A moment in the reader's own time. */
export function moment(at) {
  const date = new Date(at);
  return Number.isNaN(date.getTime()) ? "–" : date.toLocaleString();
}

/** `1 call`, `2 calls`. */
export function count(number, one, many = `${one}s`) {
  return `${number} ${number === 1 ? one : many}`;
}

// Control characters, and those that turn the direction of writing: what is read must be what is sent.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** `text` with an escape, as JSON has them, for each character that would hide or turn others. */
export function visible(text) {
  return text.replace(HIDDEN, (hidden) => `\\u${hidden.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Whether reading `text` as JSON might change a number in it. */
export function hasLongNumber(text) {
  return /\d{16}|\d[eE.]\d*\d{15}/.test(text);
}

/** The text of a JSON object as somebody wrote it: reading it might round a number. Throws if it is none. */
export function objectText(text) {
  const value = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new Error("a JSON object is needed");
  return text;
}

/** `body` as JSON, with the text of an object as its `arguments`; `null` is none. */
export function withArguments(body, args) {
  if (args === null) return JSON.stringify(body);
  const rest = Object.keys(body).length ? `${JSON.stringify(body).slice(0, -1)},` : "{";
  return `${rest}"arguments":${args}}`;
}

/** JSON text set out over lines, any other text as it is; nothing in it is hidden. */
export function pretty(text) {
  if (typeof text !== "string") return visible(JSON.stringify(text, null, 2));
  // A number that JavaScript would round is shown as it stands.
  if (text.length > 200_000 || hasLongNumber(text)) return visible(text);
  try {
    const value = JSON.parse(text);
    return visible(typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : text);
  } catch {
    return visible(text);
  }
}

/** The beginning of `text` on one line. */
export function oneLine(text, most = 160) {
  const line = visible(String(text ?? "").slice(0, most * 2).replace(/\s+/g, " ")).trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** The beginning of a long text, and how much is left out. */
export function head(text, most = 20_000) {
  return text.length > most ? { shown: text.slice(0, most), left: text.length - most } : { shown: text, left: 0 };
}

const LONG_US = 20_000_000;
const LONG_STEPS = [30, 60, 120, 300, 600, 1800, 3600, 7200, 21_600, 43_200, 86_400].map((seconds) => seconds * 1e6);

/** The marks of an axis of `total` microseconds: about `most` of them, at round numbers. */
export function marks(total, most) {
  if (!(total > 0)) return [];
  const least = total / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const steps = least > LONG_US ? LONG_STEPS : [1, 2, 5, 10].map((factor) => factor * power);
  const step = steps.find((size) => size >= least) ?? 86_400_000_000 * Math.ceil(least / 86_400_000_000);
  const found = [];
  for (let at = 0; at <= total * 1.0001; at += step) found.push(at);
  return found;
}

const OUTCOMES = {
  ok: "ok", tool_error: "tool error", panicked: "panicked", timed_out: "timed out", cancelled: "cancelled",
  unknown_tool: "unknown tool", bad_arguments: "bad arguments", truncated: "truncated",
  unavailable: "unavailable", overloaded: "overloaded", denied: "denied", unknown_outcome: "unknown outcome",
};

/** How a call ended, in words. */
export function outcome(kind) {
  return OUTCOMES[kind] ?? String(kind);
}
