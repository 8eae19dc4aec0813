import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import type { MemoryPool } from "../../../src/memory/index.ts";
import type { Lease, Tier } from "../../../src/tiers/index.ts";
import {
  type ChunkSpec,
  isIntactChunk,
  keysOf,
  makeChunk,
  makePool,
  promptChunks,
  storeChunks,
} from "./chunk-fixtures.ts";

/** A tier with room for 64 chunks of two pages at least. */
export interface OpenedTier {
  readonly tier: Tier;
  /** What is to be tidied up after the tier was closed. */
  readonly cleanup?: (() => Promise<void>) | undefined;
}

export interface TierConformanceOptions {
  /** Runs of the random traffic. */
  readonly numRuns?: number | undefined;
  /** A tier of tiers: its counters count each copy of a chunk. */
  readonly hasCopies?: boolean | undefined;
}

const POOL_SLABS = 160;
const never = new AbortController().signal;

/**
 * What every tier must do, whatever it is made of. A tier's own test calls this with a function that opens an
 * empty one and adds only what is special about it.
 */
export function tierConformance(
  name: string,
  open: (pool: MemoryPool) => Promise<OpenedTier>,
  options: TierConformanceOptions = {},
): void {
  describe(`${name} is a tier:`, () => {
    let pool: MemoryPool;
    let opened: OpenedTier;
    let tier: Tier;

    beforeEach(async () => {
      pool = makePool(POOL_SLABS);
      opened = await open(pool);
      tier = opened.tier;
    });
    afterEach(async () => {
      await close(opened);
      pool.assertAllFree();
    });

    function expectCount(actual: number, wanted: number): void {
      if (options.hasCopies) expect(actual).toBeGreaterThanOrEqual(wanted);
      else expect(actual).toBe(wanted);
    }

    /** Stores and waits until the chunks can be loaded. */
    async function put(specs: readonly ChunkSpec[]): Promise<number> {
      const numStored = await storeChunks(tier, pool, specs);
      await tier.flush();
      return numStored;
    }

    test("lookup() and acquire() of an empty tier find nothing", async () => {
      const keys = keysOf(promptChunks(1, 3));
      expect(await tier.lookup(keys)).toBe(0);
      using lease = await tier.acquire(keys);
      expect(lease.keys).toEqual([]);
      expect(await take(lease, 0)).toBe(0);
      expect(tier.stats().numChunks).toBe(0);
    });

    test("an empty batch is answered with nothing", async () => {
      expect(await tier.lookup([])).toBe(0);
      expect(await tier.store([])).toBe(0);
      expect(await tier.remove([])).toBe(0);
      using lease = await tier.acquire([]);
      expect(lease.keys).toEqual([]);
    });

    test("store() keeps chunks that lookup() then counts and load() brings back whole", async () => {
      const specs = promptChunks(1, 12);
      const keys = keysOf(specs);
      expect(await put(specs)).toBe(12);
      expect(await tier.lookup(keys)).toBe(12);
      expectCount(tier.stats().numChunks, 12);
      expectCount(tier.stats().numStored, 12);
      using lease = await tier.acquire(keys);
      expect(lease.keys).toEqual(keys);
      expect(await take(lease, 0)).toBe(12);
    });

    test("lookup() counts the leading keys only: behind a gap nothing counts", async () => {
      const specs = promptChunks(1, 6);
      const keys = keysOf(specs);
      await put([...specs.slice(0, 2), ...specs.slice(3)]);
      expect(await tier.lookup(keys)).toBe(2);
      expect(await tier.lookup(keys.slice(3))).toBe(3);
      expect(await tier.lookup(keys.slice(2))).toBe(0);
      using lease = await tier.acquire(keys);
      expect(lease.keys).toEqual(keys.slice(0, 2));
      expect(await take(lease, 0)).toBe(2);
    });

    test("load() starts at the index that is asked for", async () => {
      const specs = promptChunks(1, 6);
      await put(specs);
      using lease = await tier.acquire(keysOf(specs));
      expect(await take(lease, 4)).toBe(2);
      expect(await take(lease, 6)).toBe(0);
    });

    test("a lease can be loaded from twice, at the same time too", async () => {
      const specs = promptChunks(1, 8);
      await put(specs);
      using lease = await tier.acquire(keysOf(specs));
      expect(await Promise.all([take(lease, 0), take(lease, 2)])).toEqual([8, 6]);
    });

    test("storing a held key changes nothing", async () => {
      const specs = promptChunks(1, 5);
      await put(specs);
      const before = tier.stats();
      expect(await put(specs)).toBe(5);
      expect(tier.stats()).toMatchObject({
        numChunks: before.numChunks,
        usedBytes: before.usedBytes,
        numStored: before.numStored,
      });
    });

    test("two stores of one key at the same time keep one chunk", async () => {
      const specs = promptChunks(1, 5);
      const counts = await Promise.all([1, 2, 3].map(() => storeChunks(tier, pool, specs)));
      await tier.flush();
      expect(counts).toEqual([5, 5, 5]);
      expectCount(tier.stats().numChunks, 5);
    });

    test("a chunk is not found before it is whole", async () => {
      const specs = promptChunks(1, 16);
      const keys = keysOf(specs);
      const storing = storeChunks(tier, pool, specs);
      for (let round = 0; round < 20; round++) {
        using lease = await tier.acquire(keys);
        expect(await take(lease, 0)).toBe(lease.keys.length);
      }
      await storing;
    });

    test("remove() drops chunks, held or not, and counts those it dropped", async () => {
      const specs = promptChunks(1, 5);
      const keys = keysOf(specs);
      await put(specs);
      using lease = await tier.acquire(keys);
      expect(await tier.remove(keys.slice(3))).toBe(2);
      expect(await tier.remove(keys.slice(3))).toBe(0);
      expect(await tier.lookup(keys)).toBe(3);
      expect(await take(lease, 0)).toBeGreaterThanOrEqual(3);
      expectCount(tier.stats().numChunks, 3);
      expect(await put(specs)).toBe(5);
      expect(await tier.lookup(keys)).toBe(5);
    });

    test("a buffer outlives the removal of its chunk", async () => {
      const specs = promptChunks(1, 1);
      await put(specs);
      using lease = await tier.acquire(keysOf(specs));
      for await (using buffer of lease.load(0, never)) {
        await tier.remove(keysOf(specs));
        expect(isIntactChunk(buffer, specs[0]!.key)).toBe(true);
      }
    });

    test("clear() drops all but what leases hold", async () => {
      const kept = promptChunks(1, 3);
      const dropped = promptChunks(2, 4);
      await put(kept);
      await put(dropped);
      {
        using lease = await tier.acquire(keysOf(kept));
        expectCount(await tier.clear(), 4);
        expect(await tier.lookup(keysOf(kept))).toBe(3);
        expect(await tier.lookup(keysOf(dropped))).toBe(0);
        expect(await take(lease, 0)).toBe(3);
      }
      expectCount(await tier.clear(), 3);
      expect(tier.stats()).toMatchObject({ numChunks: 0, usedBytes: 0 });
    });

    test("disposing a lease twice is disposing it once", async () => {
      const specs = promptChunks(1, 2);
      await put(specs);
      using other = await tier.acquire(keysOf(specs));
      const lease = await tier.acquire(keysOf(specs));
      lease[Symbol.dispose]();
      lease[Symbol.dispose]();
      await tier.clear();
      expect(await take(other, 0)).toBe(2);
    });

    test("acquire() counts hits and misses, lookup() does not", async () => {
      const specs = promptChunks(1, 4);
      await put(specs.slice(0, 3));
      await tier.lookup(keysOf(specs));
      expect(tier.stats()).toMatchObject({ numHits: 0, numMisses: 0 });
      using _ = await tier.acquire(keysOf(specs));
      expectCount(tier.stats().numHits, 3);
      expectCount(tier.stats().numMisses, 1);
    });

    test("leaving load() early gives everything back", async () => {
      const specs = promptChunks(1, 16);
      await put(specs);
      const usedBefore = pool.usedBytes;
      using lease = await tier.acquire(keysOf(specs));
      for await (using _ of lease.load(0, never)) break;
      await expect.poll(() => pool.usedBytes).toBe(usedBefore);
    });

    test("an abort ends load() and gives everything back", async () => {
      const specs = promptChunks(1, 16);
      await put(specs);
      const usedBefore = pool.usedBytes;
      using lease = await tier.acquire(keysOf(specs));
      const abort = new AbortController();
      let numTaken = 0;
      for await (using buffer of lease.load(0, abort.signal)) {
        expect(isIntactChunk(buffer, specs[numTaken]!.key)).toBe(true);
        if (++numTaken === 3) abort.abort();
      }
      expect(numTaken).toBeLessThan(16);
      expect(await take(lease, 0, AbortSignal.abort())).toBe(0);
      await expect.poll(() => pool.usedBytes).toBe(usedBefore);
    });

    test("many readers and writers at once get right bytes", async () => {
      const prompts = Array.from({ length: 6 }, (_, seed) => promptChunks(seed, 8, 4));
      await Promise.all(
        prompts.flatMap((specs) => [
          storeChunks(tier, pool, specs),
          (async () => {
            using lease = await tier.acquire(keysOf(specs));
            await take(lease, 0);
          })(),
        ]),
      );
      await tier.flush();
      const numsFound = await Promise.all(
        prompts.map(async (specs) => {
          using lease = await tier.acquire(keysOf(specs));
          return await take(lease, 0);
        }),
      );
      expect(numsFound).toEqual([8, 8, 8, 8, 8, 8]);
      expectCount(tier.stats().numChunks, 4 + 6 * 4);
    });

    test("stats() never shows more bytes than the capacity", async () => {
      for (let seed = 0; seed < 5; seed++) await put(promptChunks(seed, 10));
      const { usedBytes, capacityBytes } = tier.stats();
      expect(usedBytes).toBeGreaterThan(0);
      expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
    });

    test("a closed tier rejects with a TierError and may be closed again", async () => {
      const [spec] = promptChunks(1, 1);
      const chunk = makeChunk(pool, spec!);
      await tier[Symbol.asyncDispose]();
      const closed = expect.objectContaining({ name: "TierError", code: "closed" });
      await expect(tier.lookup([spec!.key])).rejects.toEqual(closed);
      await expect(tier.acquire([spec!.key])).rejects.toEqual(closed);
      await expect(tier.store([chunk])).rejects.toEqual(closed);
      chunk.buffer[Symbol.dispose]();
    });

    test("random traffic: no wrong bytes, no phantom, leases hold, slabs come home", async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
          const runPool = makePool(POOL_SLABS);
          const run = await open(runPool);
          try {
            await runTraffic(run.tier, runPool, commands);
          } finally {
            await close(run);
          }
          runPool.assertAllFree();
        }),
        { numRuns: options.numRuns ?? 25 },
      );
    });
  });
}

async function close(opened: OpenedTier): Promise<void> {
  await opened.tier[Symbol.asyncDispose]();
  await opened.cleanup?.();
}

/** Loads and checks what the lease holds. @returns the number of chunks */
async function take(lease: Lease, from: number, signal = never): Promise<number> {
  let numTaken = 0;
  for await (using buffer of lease.load(from, signal)) {
    expect(isIntactChunk(buffer, lease.keys[from + numTaken]!)).toBe(true);
    numTaken++;
  }
  return numTaken;
}

type Command = {
  readonly verb: "store" | "lookup" | "acquire" | "load" | "release" | "remove" | "clear";
  readonly prompt: number;
  readonly numChunks: number;
};

/** Five prompts of twelve chunks; they part behind the third. */
const prompts = Array.from({ length: 5 }, (_, seed) => promptChunks(seed, 12, 3));

const command: fc.Arbitrary<Command> = fc.record({
  verb: fc.constantFrom(
    ...(["store", "store", "lookup", "acquire", "load", "release", "remove", "clear"] as const),
  ),
  prompt: fc.nat({ max: prompts.length - 1 }),
  numChunks: fc.integer({ min: 1, max: 12 }),
});

async function runTraffic(
  tier: Tier,
  pool: MemoryPool,
  commands: readonly Command[],
): Promise<void> {
  const mayBeHeld = new Set<ChunkKey>();
  const leases: { lease: Lease; isIntact: boolean }[] = [];
  for (const { verb, prompt, numChunks } of commands) {
    const specs = prompts[prompt]!.slice(0, numChunks);
    const keys = keysOf(specs);
    switch (verb) {
      case "store":
        await storeChunks(tier, pool, specs);
        await tier.flush();
        for (const key of keys) mayBeHeld.add(key);
        break;
      case "lookup": {
        const numFound = await tier.lookup(keys);
        expect(keys.slice(0, numFound).every((key) => mayBeHeld.has(key))).toBe(true);
        break;
      }
      case "acquire":
        if (leases.length < 4) leases.push({ lease: await tier.acquire(keys), isIntact: true });
        break;
      case "load": {
        const held = leases[prompt % Math.max(1, leases.length)];
        if (held === undefined) break;
        const from = Math.min(numChunks, held.lease.keys.length);
        const numTaken = await take(held.lease, from);
        if (held.isIntact) expect(numTaken).toBe(held.lease.keys.length - from);
        break;
      }
      case "release":
        leases.shift()?.lease[Symbol.dispose]();
        break;
      case "remove":
        await tier.remove(keys);
        for (const key of keys) mayBeHeld.delete(key);
        for (const held of leases) {
          if (held.lease.keys.some((key) => keys.includes(key))) held.isIntact = false;
        }
        break;
      case "clear":
        await tier.clear();
    }
    for (const { lease, isIntact } of leases) {
      if (isIntact) expect(await tier.lookup(lease.keys)).toBe(lease.keys.length);
    }
    const { usedBytes, capacityBytes } = tier.stats();
    expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
  }
  for (const { lease } of leases) lease[Symbol.dispose]();
}
