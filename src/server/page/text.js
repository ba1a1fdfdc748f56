// How numbers, times and JSON are written.

/** Milliseconds: three digits where they matter. */
export function ms(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 0.05) return "0 ms";
  if (value < 9.95) return `${value.toFixed(1)} ms`;
  if (value < 9_999.5) return `${Math.round(value)} ms`;
  if (value < 119_950) return `${(value / 1000).toFixed(1)} s`;
  if (value < 7_200_000) return `${Math.floor(value / 60_000)} min ${Math.floor((value % 60_000) / 1000)} s`;
  return `${(value / 3_600_000).toFixed(1)} h`;
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

/** JSON text set out over lines; any other text as it is. */
export function pretty(text) {
  if (typeof text !== "string") return JSON.stringify(text, null, 2);
  if (text.length > 200_000) return text;
  try {
    const value = JSON.parse(text);
    return typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

/** The beginning of `text` on one line. */
export function oneLine(text, most = 160) {
  const line = String(text ?? "").slice(0, most * 2).replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most - 1)}…` : line;
}

/** The beginning of a long text, and how much is left out. */
export function head(text, most = 20_000) {
  return text.length > most ? { shown: text.slice(0, most), left: text.length - most } : { shown: text, left: 0 };
}

/** The marks of an axis of `total`: about `most` of them, at round numbers. */
export function marks(total, most) {
  if (!(total > 0)) return [];
  const least = total / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= least);
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
