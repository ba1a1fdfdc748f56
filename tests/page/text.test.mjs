// What the page shows of texts that others wrote.

import test from "node:test";
import assert from "node:assert/strict";

import { hasLongNumber, objectText, pretty, withArguments } from "../../src/server/page/text.js";

test("arguments are shown with the numbers that they have", () => {
  assert.equal(pretty('{"a":[1,2]}'), '{\n  "a": [\n    1,\n    2\n  ]\n}');
  const account = '{"account":9007199254740993}';
  assert.equal(pretty(account), account);
  assert.equal(pretty("no JSON"), "no JSON");
});

test("a number that would be rounded is found", () => {
  for (const text of ["9007199254740993", '{"a":-12345678901234567890}', "0.12345678901234567"]) assert.ok(hasLongNumber(text), text);
  for (const text of ["1", "123456789012345", '{"a":1.5e3}']) assert.ok(!hasLongNumber(text), text);
});

test("what is sent has the numbers that were written", () => {
  const account = '{"account": 90071992547409931}';
  const text = withArguments({ decision: "approve" }, objectText(account));
  assert.equal(text, `{"decision":"approve","arguments":${account}}`);
  assert.equal(withArguments({}, account), `{"arguments":${account}}`);
  assert.equal(withArguments({ decision: "deny" }, null), '{"decision":"deny"}');
});

test("only an object is taken for arguments", () => {
  for (const text of ["[1]", "1", "null", '"a"', "", "{}, \"decision\": 1", "{"]) assert.throws(() => objectText(text), text);
});
