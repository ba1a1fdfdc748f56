// What the page shows of texts that others wrote.

import test from "node:test";
import assert from "node:assert/strict";

import { hasLongNumber, pretty } from "../../src/server/page/text.js";

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
