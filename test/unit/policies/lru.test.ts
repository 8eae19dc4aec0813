import { describe, expect, it } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import { LruPolicy } from "../../../src/tiers/policies/index.ts";

const key = (name: string): ChunkKey => name as ChunkKey;
const free = (): boolean => false;

describe("LruPolicy", () => {
  it("gives up the chunk that was used longest ago", () => {
    const policy = new LruPolicy();
    for (const name of ["a", "b", "c"]) policy.add(key(name), undefined);
    policy.touch([key("a")]);
    expect(policy.victim(free)).toBe("b");
  });
  it("gives up a suffix before its prefix", () => {
    const policy = new LruPolicy();
    policy.add(key("a"), undefined);
    policy.add(key("b"), key("a"));
    policy.add(key("c"), key("b"));
    const order: string[] = [];
    for (let victim = policy.victim(free); victim !== undefined; victim = policy.victim(free)) {
      order.push(victim);
      policy.remove(victim);
    }
    expect(order).toEqual(["c", "b", "a"]);
  });
});
