import { expect, test } from "vitest";
import { Tails } from "../../../src/cache/tails.ts";
import type { ChunkKey } from "../../../src/core/index.ts";

const key = (n: number): ChunkKey => n.toString(16).padStart(32, "0") as ChunkKey;

test("ends behind a chunk come the farthest first, and each once", () => {
  const tails = new Tails();
  for (const end of [300, 280, 300, 290]) tails.remember({ parent: key(1), end });
  tails.remember({ parent: undefined, end: 20 });
  expect(tails.behind(key(1))).toEqual([300, 290, 280]);
  expect(tails.behind(undefined)).toEqual([20]);
  expect(tails.behind(key(2))).toEqual([]);
});

test("what was not used for long is forgotten: ends behind one chunk, and chunks", () => {
  const tails = new Tails();
  for (let end = 1; end <= 20; end++) tails.remember({ parent: key(0), end });
  expect(tails.behind(key(0))).toEqual([20, 19, 18, 17, 16, 15, 14, 13]);
  for (let n = 1; n <= 4096; n++) tails.remember({ parent: key(n), end: 5 });
  expect(tails.behind(key(0))).toEqual([]);
  expect(tails.behind(key(1))).toEqual([5]);
});
