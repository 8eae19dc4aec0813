import { describe, expect, it } from "vitest";
import { formatAge, plural } from "../../../src/cli/cache-words.ts";

describe("formatAge()", () => {
  it.each([
    [-5, "0s"],
    [999, "0s"],
    [59_999, "59s"],
    [60_000, "1m"],
    [7_200_000, "2h"],
    [400 * 86_400_000, "400d"],
  ])("%i ms is %s", (ageMs, text) => {
    expect(formatAge(ageMs)).toBe(text);
  });
});

describe("plural()", () => {
  it("adds an s to all but one", () => {
    expect([0, 1, 2].map((count) => plural(count, "chunk"))).toEqual([
      "0 chunks",
      "1 chunk",
      "2 chunks",
    ]);
  });
});
