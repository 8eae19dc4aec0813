import { expect, test } from "vitest";
import { ClaimTable } from "../../../src/core/index.ts";
import { ManualClock } from "../cache/cache-fixtures.ts";

test("a claim is its owner's until it ends, is renewed by the owner alone, and ends on time", () => {
  const clock = new ManualClock();
  const table = new ClaimTable(clock, 10);
  expect(table.claim(["a", "b"], "one", 100)).toBe(2);
  expect(table.claim(["x", "a", "y"], "two", 100)).toBe(1);
  clock.ms += 60;
  expect(table.claim(["a"], "one", 100)).toBe(1);
  clock.ms += 60;
  expect(table.claim(["a"], "two", 100)).toBe(0);
  expect(table.claim(["b"], "two", 100)).toBe(1);
  clock.ms += 40;
  expect(table.claim(["a"], "two", 100)).toBe(1);
});

test("release() ends the owner's claims and nobody else's", () => {
  const table = new ClaimTable(new ManualClock(), 10);
  table.claim(["a"], "one", 100);
  table.claim(["b"], "two", 100);
  expect(table.release(["a", "b", "c"], "one")).toBe(1);
  expect(table.claim(["a", "b"], "two", 100)).toBe(2);
});

test("is bounded: beyond it claims are answered and not kept, until others have ended", () => {
  const clock = new ManualClock();
  const table = new ClaimTable(clock, 3);
  expect(table.claim(["a", "b", "c", "d"], "one", 100)).toBe(4);
  expect(table.size).toBe(3);
  expect(table.claim(["d"], "two", 100)).toBe(1);
  expect(table.claim(["a"], "two", 100)).toBe(0);
  clock.ms += 100;
  expect(table.claim(["d", "e"], "two", 100)).toBe(2);
  expect(table.claim(["d"], "one", 100)).toBe(0);
  expect(table.size).toBe(2);
});
