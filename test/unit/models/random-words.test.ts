import { describe, expect, it } from "vitest";
import { RandomWords } from "../../../src/models/random-words.ts";

function words(seed: number, stream: string, length: number): number[] {
  const filled = new Uint32Array(length);
  new RandomWords(seed, stream).fill(filled);
  return [...filled];
}

describe("RandomWords", () => {
  it("makes the same words for ever", () => {
    expect(words(0, "token_embd.weight", 4)).toEqual([
      768_554_968, 4_122_438_210, 2_780_337_701, 2_704_269_692,
    ]);
  });

  it("goes on where it stopped", () => {
    const random = new RandomWords(1, "a");
    const parts = [new Uint32Array(3), new Uint32Array(0), new Uint32Array(5)];
    for (const part of parts) random.fill(part);
    expect(parts.flatMap((part) => [...part])).toEqual(words(1, "a", 8));
  });

  it("makes other words for another seed or stream", () => {
    const firsts = [words(0, "a", 4), words(1, "a", 4), words(0, "b", 4), words(0, "ab", 4)];
    expect(new Set(firsts.flat()).size).toBe(16);
  });

  it("sets every bit about half of the time", () => {
    const counts = Array.from({ length: 32 }, () => 0);
    for (const word of words(3, "bits", 20_000)) {
      for (let bit = 0; bit < 32; bit++) counts[bit]! += (word >>> bit) & 1;
    }
    for (const numSet of counts) expect(Math.abs(numSet - 10_000)).toBeLessThan(400);
  });
});
