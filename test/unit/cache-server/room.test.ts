import fc from "fast-check";
import { expect, test } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import { HeapMemory, MemoryPool, PAGE_BYTES } from "../../../src/memory/index.ts";
import { CpuTier, LruPolicy } from "../../../src/tiers/index.ts";

const NUM_SLABS = 64;
const MAX_LENGTH = 12;

test("room for a value of any size is always made, and costs little more than its own length", async () => {
  const lengths = fc.array(fc.integer({ min: 1, max: MAX_LENGTH }), { maxLength: 80 });
  await fc.assert(
    fc.asyncProperty(lengths, async (values) => {
      const pool = new MemoryPool(new HeapMemory(NUM_SLABS * PAGE_BYTES), PAGE_BYTES);
      const tier = new CpuTier({ pool, policy: new LruPolicy() });
      for (const [index, length] of values.entries()) {
        const usedBefore = pool.usedBytes / PAGE_BYTES;
        const buffer = pool.tryAllocate(length * PAGE_BYTES)!;
        expect(buffer).toBeDefined();
        const numEvicted = usedBefore + length - pool.usedBytes / PAGE_BYTES;
        // The first to go and the last one beside it may each be larger than what was missing.
        expect(numEvicted).toBeLessThan(length + 2 * MAX_LENGTH);
        const key = index.toString(16).padStart(32, "0") as ChunkKey;
        expect(await tier.store([{ key, parent: undefined, buffer }])).toBe(1);
        buffer[Symbol.dispose]();
      }
      await tier[Symbol.asyncDispose]();
      pool.assertAllFree();
    }),
  );
});
