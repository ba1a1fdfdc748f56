// Calls that wait for a person: what they would do, and what may be said of them.

import * as api from "./api.js";
import { h, say } from "./dom.js";
import { attempt } from "./news.js";
import { objectText, oneLine, pretty } from "./text.js";

/** The question about one call of session `id`. */
export class Approval {
  constructor(id, call) {
    Object.assign(this, { id, call });
    const name = `approval-${call.key}`;
    this.text = h("textarea", { id: `${name}-arguments`, rows: 6, spellcheck: false, value: pretty(call.arguments ?? "{}"), hidden: true });
    this.label = h("label", { htmlFor: this.text.id, hidden: true }, "Arguments (a JSON object)");
    this.shown = h("pre", { tabIndex: 0, "aria-label": "Arguments", data: { part: "arguments" } }, pretty(call.arguments ?? "{}"));
    this.wrong = h("p", { class: "bad", role: "alert", hidden: true });
    this.reason = h("input", { type: "text", id: `${name}-reason`, maxLength: 500, autocomplete: "off", placeholder: "only with a denial" });
    this.approve = this.button("approve", "main", "Approve", () => this.decide("approve"));
    this.edit = this.button("edit", "quiet", "Edit the arguments", () => this.open());
    this.deny = this.button("deny", "danger", "Deny", () => this.decide("deny"));
    this.element = h("section", { class: "approval", data: { approval: call.key }, "aria-labelledby": name },
      h("h4", { id: name }, h("span", { "aria-hidden": "true" }, "? "), h("code", {}, oneLine(call.tool, 100)), " waits for your approval"),
      this.shown, this.label, this.text, this.wrong,
      h("div", { class: "row" },
        h("label", { class: "grow" }, "Reason, told to the model", this.reason)),
      h("div", { class: "row" }, this.approve, this.edit, this.deny));
  }

  button(decision, style, text, click) {
    return h("button", { type: "button", class: style, data: { decision }, on: { click } }, text);
  }

  open() {
    this.text.hidden = this.label.hidden = false;
    this.shown.hidden = this.edit.hidden = true;
    say(this.approve, "Approve with these arguments");
    this.text.focus();
  }

  /** What was written instead of the model's arguments; `null` if nothing was. */
  edited() {
    return this.text.hidden ? null : objectText(this.text.value);
  }

  async decide(decision) {
    const body = { decision };
    let edited = null;
    this.wrong.hidden = true;
    if (decision === "deny") {
      if (this.reason.value.trim()) body.reason = this.reason.value.trim();
    } else {
      try {
        edited = this.edited();
      } catch (error) {
        say(this.wrong, `These are no arguments: ${error.message}`);
        this.wrong.hidden = false;
        return this.text.focus();
      }
    }
    // The event takes it off the page; until then it cannot be decided twice.
    if (this.isDecided) return null;
    this.isDecided = true;
    this.isDecided = await attempt(`Decision about ${this.call.tool}`, () => api.decide(this.id, this.call.key, body, edited));
    return null;
  }
}
