// The reader of server-sent events: whatever pieces the network makes of them.

import test from "node:test";
import assert from "node:assert/strict";

import { Reader } from "../../src/server/page/sse.js";

const TEXT = [
  "retry: 1000\n\n",
  ": \n\n",
  'id: 1\nevent: a\ndata: {"x":"ü\\n"}\n\n',
  "event: text_streamed\ndata: one\ndata: two\n\n",
  "id: 2\r\nevent: b\r\ndata: z\r\n\r\n",
  ": beat\n\n",
  "data:nospace\n\n",
  'event: closed\ndata: {"reason":"shutting_down"}\n\n',
  "id: 9\nevent: cut\ndata: half",
].join("");

const EVENTS = [
  { id: "1", event: "a", data: '{"x":"ü\\n"}' },
  { id: null, event: "text_streamed", data: "one\ntwo" },
  { id: "2", event: "b", data: "z" },
  { id: null, event: "message", data: "nospace" },
  { id: null, event: "closed", data: '{"reason":"shutting_down"}' },
];

test("events are the same however they are cut into pieces", () => {
  for (let size = 1; size <= TEXT.length; size++) {
    const reader = new Reader();
    const read = [];
    for (let at = 0; at < TEXT.length; at += size) read.push(...reader.feed(TEXT.slice(at, at + size)));
    assert.deepEqual(read, EVENTS, `pieces of ${size}`);
    assert.equal(reader.retry, 1000);
  }
});
