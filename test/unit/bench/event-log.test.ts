import { expect, test } from "vitest";
import { EventLog } from "../../../src/bench/event-log.ts";

function logOf(...pieces: readonly (readonly [string | Uint8Array, number])[]): EventLog {
  const log = new EventLog();
  for (const [piece, atMs] of pieces) log.add(Buffer.from(piece), atMs);
  return log;
}

test("an event has the time of its last byte", () => {
  const log = logOf(
    ['data: {"a":1}\n\nda', 10],
    ['ta: {"b"', 20],
    [':2}\n\ndata: {"c":3}\n\n', 30],
    ["data: [DONE]\n\n", 40],
  );
  expect(log.events()).toEqual([
    { data: '{"a":1}', atMs: 10 },
    { data: '{"b":2}', atMs: 30 },
    { data: '{"c":3}', atMs: 30 },
  ]);
});

test("lines may end as on Windows, and what is no data is left out", () => {
  const log = logOf([": a comment\r\nevent: message\r\ndata:x\r\n\r\n", 5]);
  expect(log.events()).toEqual([{ data: "x", atMs: 5 }]);
});

test("a letter may be cut by the network", () => {
  const bytes = Buffer.from("data: é\n\n");
  const log = logOf([bytes.subarray(0, 7), 1], [bytes.subarray(7), 2]);
  expect(log.events()).toEqual([{ data: "é", atMs: 2 }]);
  expect(log.text()).toBe("data: é\n\n");
  expect(log.numBytes).toBe(bytes.length);
});
