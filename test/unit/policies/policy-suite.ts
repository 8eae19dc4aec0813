import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import type { EvictionPolicy } from "../../../src/tiers/policies/index.ts";

export const key = (name: string | number): ChunkKey => String(name) as ChunkKey;
export const keys = (...names: readonly string[]): ChunkKey[] => names.map(key);
export const noneHeld = (): boolean => false;

/** Adds a prompt's chunks, each behind the one before it. */
export function addPrompt(policy: EvictionPolicy, ...names: readonly string[]): void {
  names.forEach((name, index) => {
    policy.add(key(name), index === 0 ? undefined : key(names[index - 1]!));
  });
}

/** Evicts until nothing is left. */
export function evictAll(policy: EvictionPolicy): string[] {
  const order: string[] = [];
  for (;;) {
    const victim = policy.victim(noneHeld);
    if (victim === undefined) return order;
    policy.remove(victim);
    order.push(victim);
  }
}

const CAPACITY = 24;
const NUM_KEYS = 60;

/** Chunk n extends chunk n / 3: a tree of depth four or so. */
const parentOf = (chunk: number): ChunkKey | undefined =>
  chunk < 3 ? undefined : key(Math.floor(chunk / 3));

const chunk = fc.integer({ min: 0, max: NUM_KEYS - 1 });
const command = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("add" as const), chunk }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("touch" as const), chunk }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("remove" as const), chunk }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("evict" as const),
      held: fc.uniqueArray(chunk, { maxLength: 10 }),
    }),
  },
);

/** What every policy promises, whatever its order. */
export function describePolicy(name: string, create: (capacity: number) => EvictionPolicy): void {
  describe(name, () => {
    it("names a victim that is resident, not held and without resident children, if there is one", () => {
      fc.assert(
        fc.property(fc.array(command, { maxLength: 300 }), (commands) => {
          const policy = create(CAPACITY);
          const resident = new Map<ChunkKey, ChunkKey | undefined>();
          const isLeaf = (candidate: ChunkKey): boolean =>
            ![...resident.values()].includes(candidate);
          for (const step of commands) {
            if (step.kind === "add") {
              const added = key(step.chunk);
              policy.add(added, parentOf(step.chunk));
              if (!resident.has(added)) resident.set(added, parentOf(step.chunk));
            } else if (step.kind === "touch") {
              const prompt: ChunkKey[] = [];
              for (let at: ChunkKey | undefined = key(step.chunk); at !== undefined;) {
                prompt.unshift(at);
                at = parentOf(Number(at));
              }
              policy.touch(prompt);
            } else if (step.kind === "remove") {
              policy.remove(key(step.chunk));
              resident.delete(key(step.chunk));
            } else {
              const held = new Set(step.held.map(key));
              const victim = policy.victim((candidate) => held.has(candidate));
              const candidates = [...resident.keys()].filter(
                (each) => isLeaf(each) && !held.has(each),
              );
              if (victim === undefined) expect(candidates).toEqual([]);
              else {
                expect(candidates).toContain(victim);
                policy.remove(victim);
                resident.delete(victim);
              }
            }
            expect(policy.size).toBe(resident.size);
          }
        }),
        { numRuns: 150 },
      );
    });

    it("gives up every chunk, suffixes before their prefixes", () => {
      const policy = create(CAPACITY);
      addPrompt(policy, "a", "b", "c", "d");
      addPrompt(policy, "a", "b", "x", "y");
      policy.touch(keys("a", "b"));
      const order = evictAll(policy);
      expect([...order].sort()).toEqual(["a", "b", "c", "d", "x", "y"]);
      expect(order.indexOf("d")).toBeLessThan(order.indexOf("c"));
      expect(order.indexOf("y")).toBeLessThan(order.indexOf("x"));
      expect(order.slice(4)).toEqual(["b", "a"]);
      expect(policy.size).toBe(0);
    });

    it("names no victim while every chunk without children is held", () => {
      const policy = create(CAPACITY);
      addPrompt(policy, "a", "b");
      addPrompt(policy, "x");
      expect(policy.victim((each) => each === "b" || each === "x")).toBeUndefined();
      expect(policy.victim((each) => each === "b")).toBe("x");
    });

    it("changes nothing when asked for a victim", () => {
      const policy = create(CAPACITY);
      addPrompt(policy, "a", "b");
      addPrompt(policy, "x");
      policy.touch([]);
      const first = policy.victim(noneHeld);
      expect(policy.victim(noneHeld)).toBe(first);
      expect(policy.size).toBe(3);
    });

    it("ignores what it does not know, and chunks that are there already", () => {
      const policy = create(CAPACITY);
      policy.remove(key("nobody"));
      policy.touch(keys("nobody"));
      expect(policy.victim(noneHeld)).toBeUndefined();
      policy.add(key("a"), undefined);
      policy.add(key("a"), undefined);
      expect(policy.size).toBe(1);
    });

    it("protects a prefix that comes back under its suffix", () => {
      const policy = create(CAPACITY);
      addPrompt(policy, "a", "b");
      policy.remove(key("a"));
      policy.add(key("a"), undefined);
      policy.touch([]);
      expect(evictAll(policy)).toEqual(["b", "a"]);
    });

    it("keeps to a capacity when each chunk that comes in takes the place of a victim", () => {
      const policy = create(CAPACITY);
      const resident = new Set<ChunkKey>();
      for (let prompt = 0; prompt < 400; prompt++) {
        const length = 1 + (prompt % 9);
        const names = Array.from({ length }, (_, index) => key(`${(prompt * 7) % 31}.${index}`));
        policy.touch(names.filter((name) => resident.has(name)));
        names.forEach((name, index) => {
          if (resident.has(name)) return;
          if (resident.size === CAPACITY) {
            const victim = policy.victim((each) => names.includes(each))!;
            expect(resident.delete(victim)).toBe(true);
            policy.remove(victim);
          }
          policy.add(name, names[index - 1]);
          resident.add(name);
        });
        expect(policy.size).toBe(resident.size);
      }
      expect(resident.size).toBe(CAPACITY);
    });
  });
}
