import { expect, test } from "vitest";
import { median, quantile } from "../../../src/bench/statistics.ts";

test("quantile() is a value that was measured", () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index);
  expect(quantile(values, 0.99)).toBe(198);
  expect(quantile(values, 1)).toBe(200);
  expect(quantile(values, 0)).toBe(1);
  expect(quantile([5], 0.99)).toBe(5);
});

test("nothing has no median and no quantile", () => {
  expect(() => median([])).toThrow(RangeError);
  expect(() => quantile([], 0.5)).toThrow(RangeError);
});
