import { afterEach, describe, expect, test } from "vitest";
import { subscribe } from "../../../src/core/index.ts";
import type { MemoryPool } from "../../../src/memory/index.ts";
import { CpuTier, LruPolicy, createPolicy, policyNames } from "../../../src/tiers/index.ts";
import {
  SLAB_BYTES,
  keysOf,
  makeChunk,
  makePool,
  promptChunks,
  storeChunks,
} from "./chunk-fixtures.ts";
import { tierConformance } from "./conformance.ts";

for (const name of policyNames) {
  tierConformance(`CpuTier with ${name}`, async (pool) => ({
    tier: new CpuTier({ pool, policy: createPolicy(name) }),
  }));
}

describe("CpuTier", () => {
  const closers: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
  });

  function open(numSlabs: number, capacitySlabs?: number): { pool: MemoryPool; tier: CpuTier } {
    const pool = makePool(numSlabs);
    const capacityBytes = capacitySlabs && capacitySlabs * SLAB_BYTES;
    const tier = new CpuTier({ pool, policy: new LruPolicy(), capacityBytes });
    closers.push(async () => {
      await tier[Symbol.asyncDispose]();
      pool.assertAllFree();
    });
    return { pool, tier };
  }

  test("store() copies nothing: the tier shares the buffer's memory", async () => {
    const { pool, tier } = open(4);
    const [spec] = promptChunks(1, 1);
    {
      using buffer = makeChunk(pool, spec!).buffer;
      await tier.store([{ key: spec!.key, parent: undefined, buffer }]);
      using lease = await tier.acquire([spec!.key]);
      for await (using loaded of lease.load(0, new AbortController().signal)) {
        expect(loaded.bytes.buffer).toBe(buffer.bytes.buffer);
        expect(loaded.bytes.byteOffset).toBe(buffer.bytes.byteOffset);
      }
    }
    expect(pool.usedBytes).toBe(SLAB_BYTES);
  });

  test("an allocation in a full pool evicts the least recently used suffix", async () => {
    const { pool, tier } = open(6);
    const old = promptChunks(1, 3);
    const recent = promptChunks(2, 3);
    await storeChunks(tier, pool, old);
    await storeChunks(tier, pool, recent);
    const evicted: number[] = [];
    const end = subscribe("warmkv:cache:evicted", (event) => evicted.push(event.numChunks));
    {
      using _ = pool.tryAllocate(SLAB_BYTES);
      expect(await tier.lookup(keysOf(old))).toBe(2);
      expect(await tier.lookup(keysOf(recent))).toBe(3);
    }
    end();
    expect(evicted).toEqual([1]);
    expect(tier.stats()).toMatchObject({ numEvicted: 1, numChunks: 5 });
  });

  test("an allocation evicts no chunk that a lease holds, and then goes without", async () => {
    const { pool, tier } = open(4);
    const specs = promptChunks(1, 4);
    await storeChunks(tier, pool, specs);
    {
      using lease = await tier.acquire(keysOf(specs).slice(0, 3));
      using first = pool.tryAllocate(SLAB_BYTES);
      expect(first).toBeDefined();
      expect(pool.tryAllocate(SLAB_BYTES)).toBeUndefined();
      expect(await tier.lookup(lease.keys)).toBe(3);
    }
    using _ = pool.tryAllocate(3 * SLAB_BYTES);
    expect(tier.stats().numChunks).toBeLessThan(3);
  });

  test("an allocation passes over chunks whose memory somebody else holds", async () => {
    const { pool, tier } = open(4);
    const held = promptChunks(1, 2);
    const free = promptChunks(2, 2);
    const chunks = held.map((spec) => makeChunk(pool, spec));
    await tier.store(chunks);
    await storeChunks(tier, pool, free);
    using _a = pool.tryAllocate(SLAB_BYTES);
    using _b = pool.tryAllocate(SLAB_BYTES);
    expect(await tier.lookup(keysOf(held))).toBe(2);
    expect(await tier.lookup(keysOf(free))).toBe(0);
    expect(pool.tryAllocate(SLAB_BYTES)).toBeUndefined();
    for (const chunk of chunks) chunk.buffer[Symbol.dispose]();
  });

  test("store() keeps within a capacity smaller than the pool", async () => {
    const { pool, tier } = open(20, 5);
    for (let seed = 0; seed < 4; seed++) {
      await storeChunks(tier, pool, promptChunks(seed, 3));
      expect(tier.stats().usedBytes).toBeLessThanOrEqual(5 * SLAB_BYTES);
    }
    expect(pool.usedBytes).toBe(5 * SLAB_BYTES);
    expect(await tier.lookup(keysOf(promptChunks(3, 3)))).toBe(3);
  });

  test("store() of a batch larger than the tier keeps its beginning and counts the rest", async () => {
    const { pool, tier } = open(20, 5);
    const refused: number[] = [];
    const end = subscribe("warmkv:cache:refused", (event) => refused.push(event.numChunks));
    const specs = promptChunks(1, 8);
    expect(await storeChunks(tier, pool, specs)).toBe(5);
    end();
    expect(refused).toEqual([3]);
    expect(await tier.lookup(keysOf(specs))).toBe(5);
    expect(tier.stats().numRefused).toBe(3);
  });

  test("store() does not make room by evicting what the new chunks extend", async () => {
    const { pool, tier } = open(20, 3);
    const specs = promptChunks(1, 5);
    expect(await storeChunks(tier, pool, specs.slice(0, 3))).toBe(3);
    expect(await storeChunks(tier, pool, specs.slice(3))).toBe(0);
    expect(await tier.lookup(keysOf(specs))).toBe(3);
  });

  test("acquire() is a use: what was used goes last", async () => {
    const { pool, tier } = open(6);
    const first = promptChunks(1, 3);
    const second = promptChunks(2, 3);
    await storeChunks(tier, pool, first);
    await storeChunks(tier, pool, second);
    (await tier.acquire(keysOf(first)))[Symbol.dispose]();
    using _ = pool.tryAllocate(SLAB_BYTES);
    expect(await tier.lookup(keysOf(first))).toBe(3);
    expect(await tier.lookup(keysOf(second))).toBe(2);
  });

  test("a lease held beyond a removal does not hold the chunk that is stored anew", async () => {
    const { pool, tier } = open(2);
    const specs = promptChunks(1, 1);
    await storeChunks(tier, pool, specs);
    using _ = await tier.acquire(keysOf(specs));
    await tier.remove(keysOf(specs));
    await storeChunks(tier, pool, specs);
    expect(await tier.clear()).toBe(1);
  });
});
