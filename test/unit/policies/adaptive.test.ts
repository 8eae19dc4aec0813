import { describe, expect, it } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import { AdaptivePolicy } from "../../../src/tiers/policies/index.ts";
import { addPrompt, evictAll, key, keys, noneHeld } from "./policy-suite.ts";

/** A full tier of single chunks that asks its policy whom to admit. */
class SmallTier {
  readonly policy = new AdaptivePolicy();
  readonly resident = new Set<ChunkKey>();
  readonly #capacity: number;
  numAdmitted = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** @returns whether it was there */
  request(chunk: ChunkKey): boolean {
    const isHit = this.resident.has(chunk);
    this.policy.touch([chunk]);
    if (!isHit && this.#makeRoom(chunk)) {
      this.policy.add(chunk, undefined);
      this.resident.add(chunk);
      this.numAdmitted++;
    }
    return isHit;
  }

  #makeRoom(chunk: ChunkKey): boolean {
    if (this.resident.size < this.#capacity) return true;
    if (!this.policy.admits(chunk, undefined)) return false;
    const victim = this.policy.victim(noneHeld)!;
    this.policy.remove(victim);
    return this.resident.delete(victim);
  }
}

/** Requests the chunks of a set in turn, each followed by chunks that are asked for once only. */
function hitRate(tier: SmallTier, setName: string, numRounds: number, numOnce: number): number {
  const numChunks = 50;
  let numHits = 0;
  for (let round = 0; round < numRounds; round++) {
    for (let chunk = 0; chunk < numChunks; chunk++) {
      if (tier.request(key(`${setName}${chunk}`))) numHits++;
      for (let once = 0; once < numOnce; once++) {
        tier.request(key(`${setName} once ${round} ${chunk} ${once}`));
      }
    }
  }
  return numHits / (numRounds * numChunks);
}

describe("AdaptivePolicy", () => {
  it("gives up the ends of prompts before what prompts go on from", () => {
    const policy = new AdaptivePolicy();
    addPrompt(policy, "a", "b");
    addPrompt(policy, "x", "y");
    policy.touch([]);
    expect(evictAll(policy)).toEqual(["b", "y", "a", "x"]);
  });

  it("takes a chunk for no prompt's end once a prompt went on from it", () => {
    const policy = new AdaptivePolicy();
    addPrompt(policy, "a");
    addPrompt(policy, "x");
    policy.touch(keys("a"));
    addPrompt(policy, "a", "b");
    policy.remove(key("b"));
    expect(evictAll(policy)).toEqual(["x", "a"]);
  });

  it("gives up a chunk used once before one used often", () => {
    const policy = new AdaptivePolicy();
    addPrompt(policy, "often");
    policy.touch(keys("often"));
    policy.touch(keys("often"));
    addPrompt(policy, "once");
    policy.touch([]);
    expect(policy.victim(noneHeld)).toBe("once");
  });

  it("keeps what is used again and again from being flushed by what is used once", () => {
    const tier = new SmallTier(60);
    hitRate(tier, "a", 20, 10);
    expect(hitRate(tier, "a", 5, 10)).toBeGreaterThan(0.8);
  });

  it("admits few chunks that are used once when it cannot hold all that are used again", () => {
    const tier = new SmallTier(40);
    hitRate(tier, "a", 30, 10);
    const numBefore = tier.numAdmitted;
    const numRequests = 5 * 50 * (1 + 10);
    hitRate(tier, "a", 5, 10);
    expect(tier.numAdmitted - numBefore).toBeLessThan(numRequests / 10);
  });

  it("follows when other chunks become those that are used again", () => {
    const tier = new SmallTier(60);
    hitRate(tier, "a", 20, 10);
    hitRate(tier, "b", 20, 10);
    expect(hitRate(tier, "b", 5, 10)).toBeGreaterThan(0.8);
  });

  it("admits everything while it is empty", () => {
    expect(new AdaptivePolicy().admits(key("a"), undefined)).toBe(true);
  });
});
