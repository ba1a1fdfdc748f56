// Server-sent events, read from a stream of text. `EventSource` cannot send a token.

/** Takes pieces of text and answers with the events that are whole: `{id, event, data}`. */
export class Reader {
  constructor() {
    this.rest = "";
    this.retry = null;
    this.begin();
  }

  begin() {
    this.found = { id: null, event: "message", data: [] };
  }

  feed(piece) {
    const text = this.rest + piece;
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    return lines.map((line) => this.line(line)).filter(Boolean);
  }

  line(line) {
    if (line === "") {
      const { id, event, data } = this.found;
      this.begin();
      return data.length === 0 ? null : { id, event, data: data.join("\n") };
    }
    if (line.startsWith(":")) return null;
    const at = line.indexOf(":");
    const name = at < 0 ? line : line.slice(0, at);
    const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
    if (name === "data") this.found.data.push(value);
    else if (name === "event") this.found.event = value;
    else if (name === "id" && !value.includes("\0")) this.found.id = value;
    else if (name === "retry" && /^\d+$/.test(value)) this.retry = Number(value);
    return null;
  }
}

/** How long a stream may be silent: heartbeats come every 15 s. */
const SILENT_MS = 45_000;
const LONGEST_MS = 15_000;

/**
 * Follows a stream until it is ended with the function that this returns.
 *
 * `open(after, signal)` answers with a response; `on.event`, `on.open` (with the response), `on.lost`
 * (with the cause and the milliseconds until the next try) and `on.refused` (an error that another try would not
 * mend) are told. `after()` is the number of the last event that is known.
 */
export function follow(open, after, on) {
  let [isOver, failures, least] = [false, 0, 1000];
  let current = null;
  let wake = null;
  const rest = (time) => new Promise((resolve) => {
    const timer = setTimeout(resolve, time);
    wake = () => { clearTimeout(timer); resolve(); };
  });

  async function read(abort) {
    const response = await open(after(), abort.signal);
    if (isOver) return null;
    on.open(response);
    const reader = new Reader();
    const decoder = new TextDecoder();
    const body = response.body.getReader();
    let silence = null;
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), SILENT_MS);
    };
    try {
      for (heard(); ; heard()) {
        const { done, value } = await body.read();
        if (done || isOver) return "the stream ended";
        failures = 0;
        for (const event of reader.feed(decoder.decode(value, { stream: true }))) {
          if (event.event === "closed") return `the server closed it: ${reasonOf(event.data)}`;
          on.event(event);
        }
        least = reader.retry ?? least;
      }
    } finally {
      clearTimeout(silence);
      body.cancel().catch(() => {});
    }
  }

  async function run() {
    while (!isOver) {
      current = new AbortController();
      let why;
      try {
        why = await read(current);
      } catch (error) {
        if (isOver) return;
        if (error.isFinal) return on.refused(error);
        why = error.name === "AbortError" ? "no sign of life" : error.message;
      }
      if (isOver) return;
      const time = Math.min(LONGEST_MS, least * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2);
      failures += 1;
      on.lost(why, time);
      await rest(time);
    }
  }

  run();
  const end = () => {
    isOver = true;
    current?.abort();
    wake?.();
  };
  end.again = () => wake?.();
  return end;
}

function reasonOf(data) {
  try {
    return String(JSON.parse(data).reason).replaceAll("_", " ");
  } catch {
    return "no reason given";
  }
}
