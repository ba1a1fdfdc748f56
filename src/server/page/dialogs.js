// The two questions that stand before everything else: for the token, and whether one is sure.

import { say } from "./dom.js";

const $ = (id) => document.getElementById(id);
let asked = null;

/** Asks for the token, once for all requests that miss it. Answers with `null` if none is given. */
export function askToken(wasRefused) {
  asked ??= new Promise((resolve) => {
    const [dialog, field] = [$("token-dialog"), $("token")];
    say($("token-title"), wasRefused ? "The server refused this token" : "This server wants a token");
    field.value = "";
    const answer = open(dialog, (given) => {
      asked = null;
      resolve(given);
    });
    $("token-form").onsubmit = (event) => {
      event.preventDefault();
      const given = field.value.trim();
      field.value = "";
      if (given) answer(given);
    };
    $("token-cancel").onclick = () => answer(null);
    field.focus();
  });
  return asked;
}

/** Asks whether to do something. */
export function confirm(title, text, yes) {
  return new Promise((resolve) => {
    say($("confirm-title"), title);
    say($("confirm-text"), text);
    say($("confirm-yes"), yes);
    const answer = open($("confirm-dialog"), (given) => resolve(given === true));
    $("confirm-yes").onclick = () => answer(true);
    $("confirm-no").onclick = () => answer(null);
    $("confirm-no").focus();
  });
}

/** Opens a dialog, and returns what closes it with an answer. Escape is `null`. */
function open(dialog, done) {
  let given = null;
  dialog.onclose = () => done(given);
  dialog.showModal();
  return (answer) => {
    given = answer;
    dialog.close();
  };
}
