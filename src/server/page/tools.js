// The tools: how they are, and what can be done about it.

import * as api from "./api.js";
import { confirm } from "./dialogs.js";
import { arrange, attr, block, everySoOften, h, say } from "./dom.js";
import { announce, attempt, link, problem, solved } from "./news.js";
import { ago, count, moment, ms, objectText, oneLine, outcome, pretty } from "./text.js";

const EVERY_MS = 3000;
const STATES = { ready: "ready", probing: "probing", open: "withdrawn", starting: "starting" };

/** The view of all tools. */
export class ToolsView {
  constructor() {
    this.cards = new Map();
    this.heading = h("h1", { tabIndex: -1 }, "Tools");
    this.nothing = h("p", { class: "empty", hidden: true }, "There are no tools.");
    this.list = h("div", { class: "tools", id: "tools" });
    this.element = h("div", {}, this.heading, this.nothing, this.list);
    document.title = "Tools · Callsheet";
    this.stop = everySoOften(EVERY_MS, () => this.poll());
  }

  close() {
    this.isOver = true;
    this.stop();
    link("idle", "");
  }

  async poll() {
    try {
      const { tools } = await api.tools();
      if (this.isOver) return;
      link("polling", "up to date");
      solved("Tools");
      this.draw(tools);
    } catch (error) {
      if (this.isOver) return;
      link("lost", "not connected");
      problem("Tools", error);
    }
  }

  draw(tools) {
    this.nothing.hidden = tools.length > 0;
    arrange(this.list, tools.map((tool) => {
      const card = this.cards.get(tool.name) ?? new Card(tool, () => this.poll());
      this.cards.set(tool.name, card);
      card.update(tool);
      return card.element;
    }));
  }
}

class Card {
  constructor(tool, poll) {
    Object.assign(this, { tool, poll, facts: new Map() });
    const name = `tool-${tool.name}`;
    this.state = h("span", { class: "state" });
    this.about = h("p", { class: "about" });
    this.kind = h("span", { class: "hint" });
    this.numbers = h("dl", { class: "facts" });
    this.news = h("ul", { class: "news" });
    this.terms = h("p", { class: "hint" });
    const panel = `${name}-call`;
    this.toggle = h("button", {
      type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": panel, data: { action: "call" },
      on: { click: () => this.open() },
    }, "Call…");
    this.restart = h("button", { type: "button", class: "quiet", data: { action: "restart" }, on: { click: () => this.onRestart() } }, "Restart…");
    this.args = h("textarea", { id: `${name}-arguments`, rows: 5, spellcheck: false, value: sample(tool.parameters) });
    this.wrong = h("p", { class: "bad", role: "alert", hidden: true });
    this.result = h("div", { class: "result", "aria-live": "polite" });
    this.send = h("button", { type: "submit", class: "main", data: { action: "send" } }, "Call it");
    this.panel = h("form", { class: "panel", id: panel, hidden: true, on: { submit: (event) => this.onCall(event) } },
      h("label", { htmlFor: this.args.id }, "Arguments (a JSON object)"), this.args, this.wrong,
      h("div", { class: "row" }, this.send, effectsHint(tool)),
      h("details", {}, h("summary", {}, "Schema of the arguments"), h("pre", { tabIndex: 0, "aria-label": "Schema" }, pretty(tool.parameters ?? {}))),
      this.result);
    this.element = h("section", { class: "card", data: { tool: tool.name }, "aria-labelledby": name },
      h("header", {}, h("h2", { id: name }, tool.name), this.state, this.kind, h("span", { class: "row end" }, this.toggle, this.restart)),
      this.about, this.numbers, this.news, this.terms, this.panel);
  }

  update(tool) {
    this.tool = tool;
    const { state = "unknown" } = tool;
    attr(this.element, "data-state", state);
    attr(this.state, "data-state", state);
    say(this.state, STATES[state] ?? state);
    say(this.kind, tool.server ? `${tool.kind} · ${tool.server}` : tool.kind);
    say(this.about, tool.description ?? "");
    this.about.hidden = !tool.description;
    // What a server does not tell is a dash, and no error.
    const { ran_ms: ran = null, circuit = { state: "–", cause: null, for_ms: null } } = tool;
    const isShut = !["closed", "–"].includes(circuit.state);
    const number = (value) => (typeof value === "number" ? String(value) : "–");
    const facts = [
      ["calls", number(tool.calls)], ["failed", number(tool.failed), tool.failed > 0], ["in flight", number(tool.in_flight)],
      ["p50", ms(ran?.p50)], ["p95", ms(ran?.p95)], ["p99", ms(ran?.p99)],
      ["restarts", number(tool.restarts), tool.restarts > 0], ["circuit", circuit.state, isShut],
    ];
    facts.forEach((fact) => this.fact(...fact));
    const news = [];
    if (isShut) {
      const until = circuit.for_ms === null ? "" : `, for ${ms(circuit.for_ms)} more`;
      news.push(["circuit", `The circuit is ${circuit.state}${until}: ${oneLine(circuit.cause ?? "no cause given", 300)}`, true]);
    }
    if (tool.last_restart) news.push(["restart", `↻ restarted ${ago(tool.last_restart.at)}: ${oneLine(tool.last_restart.cause, 300)}`, false, tool.last_restart.at]);
    if (tool.last_error) news.push(["error", `✗ last error ${ago(tool.last_error.at)}: ${tool.last_error.code}: ${oneLine(tool.last_error.message ?? "", 300)}`, true, tool.last_error.at]);
    const drawn = JSON.stringify(news);
    if (drawn !== this.drawnNews) {
      this.drawnNews = drawn;
      this.news.replaceChildren(...news.map(([kind, text, isBad, at]) =>
        h("li", { class: isBad ? "bad" : "", data: { news: kind }, title: at ? moment(at) : null }, text)));
    }
    this.news.hidden = news.length === 0;
    const most = (tool.max_concurrency ?? null) === null ? "no limit on calls at a time" : `at most ${count(tool.max_concurrency, "call")} at a time`;
    say(this.terms, `effects ${tool.effects} · approval ${String(tool.approval).replaceAll("_", " ")} · time limit ${ms(tool.time_limit_ms)} · ${most}`);
  }

  fact(name, value, isBad = false) {
    let cell = this.facts.get(name);
    if (!cell) {
      cell = h("dd");
      this.facts.set(name, cell);
      this.numbers.append(h("div", { data: { fact: name } }, h("dt", {}, name), cell));
    }
    say(cell, value);
    attr(cell, "data-bad", isBad ? "" : null);
  }

  open() {
    const isOpen = this.panel.hidden;
    this.panel.hidden = !isOpen;
    attr(this.toggle, "aria-expanded", isOpen);
    if (isOpen) this.args.focus();
  }

  async onRestart() {
    const { name } = this.tool;
    const isSure = await confirm(`Restart ${name}?`,
      "Its workers are rebuilt and its circuits closed. Calls that run go on; those that wait are kept.", "Restart");
    if (!isSure) return;
    this.restart.disabled = true;
    await attempt(`Restart ${name}`, async () => {
      const { restarted } = await api.restartTool(name);
      announce(`${name}: ${count(restarted, "worker")} restarted.`);
    });
    this.restart.disabled = false;
    this.restart.focus();
    this.poll();
  }

  async onCall(event) {
    event.preventDefault();
    this.wrong.hidden = true;
    let args;
    try {
      args = objectText(this.args.value);
    } catch (error) {
      say(this.wrong, `These are no arguments: ${error.message}`);
      this.wrong.hidden = false;
      return this.args.focus();
    }
    this.send.disabled = true;
    this.result.replaceChildren(h("p", { class: "hint" }, "It runs…"));
    const isDone = await attempt(`Call of ${this.tool.name}`, async () => this.drawResult(await api.callTool(this.tool.name, args)));
    if (!isDone) this.result.replaceChildren();
    this.send.disabled = false;
    this.poll();
  }

  drawResult(call) {
    const isOk = call.outcome === "ok";
    const facts = [["run", ms(call.ran_ms)], ["queued", ms(call.queued_ms)], ["start-up", ms(call.startup_ms)],
      ["back-off", ms(call.backoff_ms)], ["tries", String(call.attempts)]];
    this.result.replaceChildren(
      h("p", { class: isOk ? "good" : "bad", data: { outcome: call.outcome } }, `${isOk ? "✓" : "✗"} ${outcome(call.outcome)}`),
      h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
      ...(call.error ? [block(`Error: ${call.error.code}`, call.error.message, "error")] : []),
      ...(call.result === null || call.result === undefined ? [] : [block("Result", pretty(call.result), "result")]));
  }
}

function effectsHint({ effects }) {
  return effects === "none" ? null : h("span", { class: "hint" }, effects === "once"
    ? "Mind: this tool changes something each time." : "This tool may change something.");
}

/** Arguments to begin with: what is needed, empty. */
function sample(schema) {
  const empty = { string: "", number: 0, integer: 0, boolean: false, array: [], object: {} };
  const properties = schema?.properties ?? {};
  const needed = Array.isArray(schema?.required) ? schema.required : Object.keys(properties);
  const of = (name) => {
    const property = properties[name] ?? {};
    const type = Array.isArray(property.type) ? property.type[0] : property.type;
    return property.default ?? property.enum?.[0] ?? empty[type] ?? null;
  };
  return JSON.stringify(Object.fromEntries(needed.map((name) => [name, of(name)])), null, 2);
}
