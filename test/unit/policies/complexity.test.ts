import { describe, expect, it } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import {
  AdaptivePolicy,
  FifoPolicy,
  LfuPolicy,
  LruPolicy,
  MruPolicy,
  type OrderedPolicy,
} from "../../../src/tiers/policies/index.ts";
import { key } from "./policy-suite.ts";

type PolicyClass = new () => OrderedPolicy;

/** The policy, counting how often it compares two chunks. */
function counting(Policy: PolicyClass): { policy: OrderedPolicy; numComparisons: () => number } {
  let count = 0;
  // A class expression cannot extend an abstract type and keep its protected method callable.
  const prototype = Policy.prototype as unknown as {
    comesBefore: (a: number, b: number) => boolean;
  };
  class Counted extends (Policy as new () => object) {
    protected comesBefore(a: number, b: number): boolean {
      count++;
      return prototype.comesBefore.call(this, a, b);
    }
  }
  return { policy: new Counted() as unknown as OrderedPolicy, numComparisons: () => count };
}

const CHUNKS_PER_PROMPT = 10;

/** Comparisons per chunk that comes in, is used once and goes, in a full cache of `size` chunks. */
function comparisonsPerChunk(Policy: PolicyClass, size: number): number {
  const { policy, numComparisons } = counting(Policy);
  let numPrompts = 0;
  const store = (): void => {
    const name = (index: number): ChunkKey => key(`${numPrompts}.${index}`);
    const prompt = Array.from({ length: CHUNKS_PER_PROMPT }, (_, index) => name(index));
    policy.touch([]);
    prompt.forEach((chunk, index) => policy.add(chunk, prompt[index - 1]));
    policy.touch(prompt);
    while (policy.size > size) policy.remove(policy.victim((each) => prompt.includes(each))!);
    numPrompts++;
  };
  while (numPrompts * CHUNKS_PER_PROMPT < size) store();
  const before = numComparisons();
  const numMeasured = 200;
  for (let count = 0; count < numMeasured; count++) store();
  return (numComparisons() - before) / (numMeasured * CHUNKS_PER_PROMPT);
}

describe.each<[string, PolicyClass]>([
  ["LRU", LruPolicy],
  ["LFU", LfuPolicy],
  ["FIFO", FifoPolicy],
  ["MRU", MruPolicy],
  ["ADAPTIVE", AdaptivePolicy],
])("%s", (_, Policy) => {
  it("does not work harder in a large cache than its logarithm", () => {
    const small = comparisonsPerChunk(Policy, 500);
    const large = comparisonsPerChunk(Policy, 32_000);
    expect(small).toBeGreaterThan(0);
    // 64 times the chunks are 6 more levels of a heap; a list would take 64 times the comparisons.
    expect(large).toBeLessThan(3 * small + 10);
  });
});

describe("victim()", () => {
  it("looks at few more chunks than those that are held", () => {
    const policy = new LruPolicy();
    for (let chunk = 0; chunk < 10_000; chunk++) policy.add(key(chunk), undefined);
    let numAsked = 0;
    const victim = policy.victim((each) => {
      numAsked++;
      return Number(each) < 50;
    });
    expect(victim).toBe("50");
    expect(numAsked).toBeLessThan(200);
  });
});
