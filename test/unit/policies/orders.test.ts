import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import {
  FifoPolicy,
  LfuPolicy,
  LruPolicy,
  MruPolicy,
  type OrderedPolicy,
} from "../../../src/tiers/policies/index.ts";
import { addPrompt, evictAll, key, keys, noneHeld } from "./policy-suite.ts";

describe("LruPolicy", () => {
  it("gives up the chunk that was used longest ago", () => {
    const policy = new LruPolicy();
    for (const name of ["a", "b", "c"]) addPrompt(policy, name);
    policy.touch(keys("a"));
    expect(evictAll(policy)).toEqual(["b", "c", "a"]);
  });

  it("takes a prefix for used later than its suffix", () => {
    const policy = new LruPolicy();
    addPrompt(policy, "a", "b");
    addPrompt(policy, "x", "y");
    policy.touch(keys("a", "b"));
    policy.touch(keys("x", "y"));
    policy.touch(keys("a"));
    expect(evictAll(policy)).toEqual(["b", "y", "x", "a"]);
  });
});

describe("FifoPolicy", () => {
  it("gives up the chunk that came first, used or not", () => {
    const policy = new FifoPolicy();
    for (const name of ["a", "b", "c"]) addPrompt(policy, name);
    policy.touch(keys("a"));
    expect(evictAll(policy)).toEqual(["a", "b", "c"]);
  });

  it("gives up the rest of a prompt once its end went", () => {
    const policy = new FifoPolicy();
    addPrompt(policy, "a", "b");
    addPrompt(policy, "x", "y");
    expect(evictAll(policy)).toEqual(["b", "a", "y", "x"]);
  });
});

describe("MruPolicy", () => {
  it("gives up the chunk that was used last", () => {
    const policy = new MruPolicy();
    for (const name of ["a", "b", "c"]) addPrompt(policy, name);
    policy.touch(keys("a"));
    expect(evictAll(policy)).toEqual(["a", "c", "b"]);
  });

  it("makes room for the rest of a prompt by what came before the prompt", () => {
    const policy = new MruPolicy();
    addPrompt(policy, "old");
    addPrompt(policy, "a", "b");
    expect(policy.victim(noneHeld)).toBe("old");
    policy.touch([]);
    expect(policy.victim(noneHeld)).toBe("b");
  });
});

describe("LfuPolicy", () => {
  it("gives up the chunk that was used least, the oldest of several", () => {
    const policy = new LfuPolicy();
    for (const name of ["a", "b", "c", "d"]) addPrompt(policy, name);
    policy.touch(keys("a"));
    policy.touch(keys("a"));
    policy.touch(keys("c"));
    expect(evictAll(policy)).toEqual(["b", "d", "c", "a"]);
  });

  it("forgets the uses of a chunk that went", () => {
    const policy = new LfuPolicy();
    addPrompt(policy, "a");
    for (let use = 0; use < 5; use++) policy.touch(keys("a"));
    policy.remove(key("a"));
    addPrompt(policy, "b");
    policy.touch(keys("b"));
    addPrompt(policy, "a");
    policy.touch([]);
    expect(evictAll(policy)).toEqual(["a", "b"]);
  });
});

interface Seen {
  readonly key: ChunkKey;
  readonly parent: ChunkKey | undefined;
  readonly entered: number;
  lastUse: number;
  numUses: number;
}

const ORDERS: readonly (readonly [string, () => OrderedPolicy, (seen: Seen) => number[]])[] = [
  ["LRU", () => new LruPolicy(), ({ lastUse }) => [lastUse]],
  ["MRU", () => new MruPolicy(), ({ lastUse }) => [-lastUse]],
  ["FIFO", () => new FifoPolicy(), ({ entered }) => [entered]],
  ["LFU", () => new LfuPolicy(), ({ numUses, entered }) => [numUses, entered]],
];

describe.each(ORDERS)("%s", (_, create, rank) => {
  it("agrees with the same order kept as a plain list", () => {
    const prompt = fc.record({
      branch: fc.integer({ min: 0, max: 5 }),
      length: fc.integer({ min: 1, max: 6 }),
    });
    fc.assert(
      fc.property(fc.array(prompt, { maxLength: 60 }), (prompts) => {
        const policy = create();
        const resident = new Map<ChunkKey, Seen>();
        let now = 0;
        for (const { branch, length } of prompts) {
          const names = Array.from({ length }, (__, at) =>
            key(at < 2 ? `${at}` : `${branch}.${at}`),
          );
          const known = names.filter((name) => resident.has(name));
          policy.touch(known);
          for (const name of known.toReversed()) {
            resident.get(name)!.lastUse = now++;
            resident.get(name)!.numUses++;
          }
          names.forEach((name, at) => {
            if (resident.has(name)) return;
            const parent = names[at - 1];
            policy.add(name, parent);
            resident.set(name, { key: name, parent, entered: now, lastUse: now, numUses: 1 });
            now++;
          });
          policy.touch([]);
          while (resident.size > 8) {
            const parents = new Set([...resident.values()].map(({ parent }) => parent));
            const [expected] = [...resident.values()]
              .filter((seen) => !parents.has(seen.key))
              .sort((a, b) => {
                const [first, second] = [rank(a), rank(b)];
                return first[0]! - second[0]! || (first[1] ?? 0) - (second[1] ?? 0);
              });
            expect(policy.victim(noneHeld)).toBe(expected!.key);
            policy.remove(expected!.key);
            resident.delete(expected!.key);
          }
        }
      }),
    );
  });
});
