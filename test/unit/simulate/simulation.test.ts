import { describe, expect, it } from "vitest";
import { SimulatedTier } from "../../../src/simulate/simulated-tier.ts";
import { Simulation } from "../../../src/simulate/simulation.ts";
import { simulationPolicyNames } from "../../../src/simulate/simulation-policy.ts";
import { LruPolicy } from "../../../src/tiers/policies/index.ts";
import { prompt, replay } from "./replay.ts";

describe("a simulated cache of one tier, computed by hand", () => {
  const singles = (text: string): string[] => text.split(" ");

  it.each([
    ["LRU", [0, 0, 0, 1, 0, 1, 0]],
    ["LFU", [0, 0, 0, 1, 0, 1, 0]],
    ["FIFO", [0, 0, 0, 1, 0, 0, 0]],
    ["MRU", [0, 0, 0, 1, 0, 0, 1]],
  ])("hits with three chunks and %s", (policy, hits) => {
    expect(replay(policy, 3, singles("a b c a d a b"))).toEqual(hits);
  });

  it.each([
    ["LRU", [0, 1, 0, 0, 0]],
    ["LFU", [0, 1, 0, 0, 1]],
    ["FIFO", [0, 1, 0, 0, 0]],
    ["MRU", [0, 1, 0, 0, 1]],
    ["ADAPTIVE", [0, 1, 0, 0, 1]],
    ["ARC", [0, 1, 0, 0, 1]],
    ["S3-FIFO", [0, 1, 0, 0, 0]],
    ["TINYLFU", [0, 1, 0, 0, 1]],
  ])("hits with two chunks and %s", (policy, hits) => {
    expect(replay(policy, 2, singles("a a b c a"))).toEqual(hits);
  });

  it("lets ARC give room to new chunks once one is missed that went early", () => {
    expect(replay("ARC", 2, singles("a a b c a b d e d"))).toEqual([0, 1, 0, 0, 1, 0, 0, 0, 1]);
  });

  it("lets S3-FIFO keep what was used twice while new, and take back what went early", () => {
    const hits = [0, 1, 1, 0, 0, 1, 0, 0, 0, 1];
    expect(replay("S3-FIFO", 2, singles("a a a b c a d c e a"))).toEqual(hits);
  });

  it("lets TinyLFU admit a chunk only when it was asked for more often than the victim", () => {
    expect(replay("TINYLFU", 2, singles("a a b c a c c"))).toEqual([0, 1, 0, 0, 1, 0, 1]);
  });

  it.each(simulationPolicyNames)("ends a hit at the first missing chunk with %s", (policy) => {
    expect(replay(policy, 10, ["p q r", "p q s", "p q r", "p x r"])).toEqual([0, 2, 3, 1]);
  });

  it.each(simulationPolicyNames)(
    "keeps the head of a prompt that does not fit with %s",
    (policy) => {
      expect(replay(policy, 3, ["a b c d e", "a b c d e"])).toEqual([0, 3]);
    },
  );
});

describe("SimulatedTier", () => {
  it("counts what is stored, evicted, refused and served", () => {
    const tier = new SimulatedTier("cpu", 2, new LruPolicy());
    const simulation = new Simulation("LRU", [tier], true);
    for (const text of ["a b c", "a b", "x"]) simulation.run(prompt(text));
    expect(tier.counts).toEqual({
      numHits: 2,
      numReadTokens: 20,
      numStored: 3,
      numWrittenTokens: 30,
      numEvicted: 1,
      numRefused: 1,
    });
    expect(tier.size).toBe(2);
  });
});

describe("Simulation", () => {
  it("counts the tokens of a partial last chunk, and stores it only when told to", () => {
    const run = (storesPartial: boolean): unknown => {
      const tier = new SimulatedTier("cpu", 10, new LruPolicy());
      const simulation = new Simulation("LRU", [tier], storesPartial);
      simulation.run(prompt("a b c", 25));
      simulation.run(prompt("a b c", 25));
      const { numHitChunks, numHitTokens } = simulation.result();
      return [numHitChunks, numHitTokens, tier.counts.numWrittenTokens];
    };
    expect(run(true)).toEqual([3, 25, 25]);
    expect(run(false)).toEqual([2, 20, 20]);
  });

  it("writes to both tiers and brings what the disk served into the first", () => {
    const cpu = new SimulatedTier("cpu", 2, new LruPolicy());
    const disk = new SimulatedTier("disk", 4, new LruPolicy());
    const simulation = new Simulation("LRU", [cpu, disk], true);
    for (const text of ["a", "b", "c", "a", "b", "b"]) simulation.run(prompt(text));
    expect(simulation.result()).toMatchObject({ capacities: [2, 4], numHitChunks: 3 });
    expect(cpu.counts).toMatchObject({ numHits: 1, numStored: 5, numEvicted: 3 });
    expect(disk.counts).toMatchObject({ numHits: 2, numStored: 3, numEvicted: 0 });
    expect(disk.counts).toMatchObject({ numReadTokens: 20, numWrittenTokens: 30 });
  });

  it("serves one prompt from several tiers", () => {
    const cpu = new SimulatedTier("cpu", 2, new LruPolicy());
    const disk = new SimulatedTier("disk", 8, new LruPolicy());
    const simulation = new Simulation("LRU", [cpu, disk], true);
    simulation.run(prompt("a b c d"));
    simulation.run(prompt("a b c d e"));
    expect(simulation.result().numHitChunks).toBe(4);
    expect(cpu.counts.numHits).toBe(2);
    expect(disk.counts.numHits).toBe(2);
  });
});
