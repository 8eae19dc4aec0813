import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  HeapMemory,
  type KvBuffer,
  MemoryPool,
  PAGE_BYTES,
  type Reclaimer,
} from "../../../src/memory/index.ts";

const SLAB = 2 * PAGE_BYTES;

function makePool(numSlabs: number): MemoryPool {
  return new MemoryPool(new HeapMemory(numSlabs * SLAB), SLAB);
}

function allocate(pool: MemoryPool, numBytes: number): KvBuffer {
  const buffer = pool.tryAllocate(numBytes);
  if (buffer === undefined) throw new Error("No room");
  return buffer;
}

function reclaimer(reclaim: () => boolean): Reclaimer {
  return { reclaim, canReclaimAt: () => false, reclaimAt: () => {} };
}

describe("MemoryPool", () => {
  test("rounds slabs up to whole pages and uses what fits", () => {
    const pool = new MemoryPool(new HeapMemory(10 * PAGE_BYTES), PAGE_BYTES + 1);
    expect(pool).toMatchObject({ slabBytes: 2 * PAGE_BYTES, numSlabs: 5, capacityBytes: 40960 });
  });

  test("refuses to be made when not one slab fits", () => {
    expect(() => new MemoryPool(new HeapMemory(PAGE_BYTES), SLAB)).toThrow(
      /one chunk takes 8.00 KiB/,
    );
  });

  test("tryAllocate() answers undefined when all slabs are taken, and reuses those given back", () => {
    const pool = makePool(3);
    const buffers = [1, 2, 3].map(() => allocate(pool, SLAB));
    expect(pool.tryAllocate(1)).toBeUndefined();
    expect(pool.numFreeSlabs).toBe(0);
    buffers[1]![Symbol.dispose]();
    expect(pool.usedBytes).toBe(2 * SLAB);
    using again = allocate(pool, 5);
    expect(again.byteLength).toBe(5);
    expect(again.capacityBytes).toBe(SLAB);
    buffers[0]![Symbol.dispose]();
    buffers[2]![Symbol.dispose]();
    expect(() => pool.assertAllFree()).toThrow("1 of 3 slabs are not home");
  });

  test("takes runs from the high end, so that chunks leave long runs free", () => {
    const pool = makePool(8);
    const chunk = allocate(pool, SLAB);
    const run = allocate(pool, 3 * SLAB);
    const longer = allocate(pool, 4 * SLAB);
    expect(run.capacityBytes).toBe(3 * SLAB);
    expect(longer.capacityBytes).toBe(4 * SLAB);
    expect(pool.numFreeSlabs).toBe(0);
    for (const buffer of [chunk, run, longer]) buffer[Symbol.dispose]();
    pool.assertAllFree();
  });

  test("answers undefined when slabs are free but no run is long enough", () => {
    const pool = makePool(4);
    const buffers = [0, 1, 2, 3].map(() => allocate(pool, SLAB));
    buffers[0]![Symbol.dispose]();
    buffers[2]![Symbol.dispose]();
    expect(pool.tryAllocate(2 * SLAB)).toBeUndefined();
    expect(pool.tryAllocate(5 * SLAB)).toBeUndefined();
  });

  test("remembers the most slabs ever taken", () => {
    const pool = makePool(4);
    {
      using _a = allocate(pool, SLAB);
      using _b = allocate(pool, 2 * SLAB);
    }
    expect(pool.peakUsedBytes).toBe(3 * SLAB);
  });

  test("asks reclaimers in order until one frees a slab, and no more once it fits", () => {
    const pool = makePool(2);
    const held = [allocate(pool, SLAB), allocate(pool, SLAB)];
    const asked: string[] = [];
    pool.addReclaimer(
      reclaimer(() => {
        asked.push("poor");
        return false;
      }),
    );
    pool.addReclaimer(
      reclaimer(() => {
        asked.push("rich");
        held.pop()?.[Symbol.dispose]();
        return true;
      }),
    );
    using _ = allocate(pool, SLAB);
    expect(asked).toEqual(["poor", "rich"]);
    held.pop()?.[Symbol.dispose]();
  });

  test("gives up when no reclaimer can free anything", () => {
    const pool = makePool(1);
    using _ = allocate(pool, SLAB);
    pool.addReclaimer(reclaimer(() => false));
    expect(pool.tryAllocate(SLAB)).toBeUndefined();
  });

  test("does not disturb reclaimers for what can never fit", () => {
    const pool = makePool(2);
    pool.addReclaimer(
      reclaimer(() => {
        throw new Error("asked");
      }),
    );
    expect(pool.tryAllocate(3 * SLAB)).toBeUndefined();
  });

  describe("makes room for a run", () => {
    /** Buffers of these lengths, in the order in which they can be spared; none lies beside the next. */
    function fill(lengths: readonly number[]): { pool: MemoryPool; spared: number[] } {
      const pool = makePool(lengths.reduce((sum, length) => sum + length));
      const held = lengths.map((length) => allocate(pool, length * SLAB));
      const spared: number[] = [];
      const indexAt = (slab: number): number => held.findIndex((buffer) => buffer.slab === slab);
      const free = (index: number): void => {
        spared.push(held[index]!.capacityBytes / SLAB);
        held.splice(index, 1)[0]![Symbol.dispose]();
      };
      pool.addReclaimer({
        reclaim: (isUseful) => {
          const index = held.findIndex((buffer) => isUseful?.(buffer.slab) !== false);
          if (index < 0) return false;
          free(index);
          return true;
        },
        canReclaimAt: (slab) => indexAt(slab) >= 0,
        reclaimAt: (slab) => free(indexAt(slab)),
      });
      return { pool, spared };
    }

    test("gives up one of the same length, and nothing else", () => {
      const { pool, spared } = fill([3, 3, 3, 3]);
      using run = allocate(pool, 3 * SLAB);
      expect(run.capacityBytes).toBe(3 * SLAB);
      expect(spared).toEqual([3]);
    });

    test("gives up what lies beside the one that can be spared best", () => {
      const { pool, spared } = fill([2, 2, 2, 2, 2, 2]);
      using run = allocate(pool, 5 * SLAB);
      expect(run.capacityBytes).toBe(5 * SLAB);
      expect(spared).toEqual([2, 2, 2]);
    });
  });

  test("random traffic: no two buffers overlap, counts are right, all slabs come home", () => {
    const step = fc.record({ numSlabs: fc.integer({ min: 0, max: 4 }), at: fc.nat() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const pool = makePool(12);
        const held: { buffer: KvBuffer; tag: number }[] = [];
        let tag = 0;
        let numUsed = 0;
        for (const { numSlabs, at } of steps) {
          if (numSlabs === 0) {
            const [gone] = held.splice(held.length === 0 ? 0 : at % held.length, 1);
            if (gone === undefined) continue;
            expect(gone.buffer.bytes.every((byte) => byte === gone.tag)).toBe(true);
            numUsed -= gone.buffer.capacityBytes / SLAB;
            gone.buffer[Symbol.dispose]();
          } else {
            const buffer = pool.tryAllocate(numSlabs * SLAB);
            if (buffer === undefined) {
              if (numSlabs === 1) expect(numUsed).toBe(12);
              continue;
            }
            numUsed += numSlabs;
            buffer.bytes.fill(++tag % 251);
            held.push({ buffer, tag: tag % 251 });
          }
          expect(pool.usedBytes).toBe(numUsed * SLAB);
          expect(pool.numFreeSlabs).toBe(12 - numUsed);
        }
        for (const { buffer } of held) buffer[Symbol.dispose]();
        pool.assertAllFree();
      }),
    );
  });
});

describe("KvBuffer", () => {
  test("goes home with its last handle", () => {
    const pool = makePool(1);
    const first = allocate(pool, 100);
    const second = first.retain();
    expect(first.numHandles).toBe(2);
    first.bytes[7] = 42;
    first[Symbol.dispose]();
    expect(second.bytes[7]).toBe(42);
    expect(pool.numFreeSlabs).toBe(0);
    second[Symbol.dispose]();
    pool.assertAllFree();
  });

  test("throws when disposed twice or used after that, whoever else holds it", () => {
    const pool = makePool(1);
    const first = allocate(pool, 100);
    using second = first.retain();
    first[Symbol.dispose]();
    expect(() => first[Symbol.dispose]()).toThrow("used after it was disposed");
    expect(() => first.bytes).toThrow("used after it was disposed");
    expect(() => first.retain()).toThrow("used after it was disposed");
    expect(second.byteLength).toBe(100);
  });

  test("resize() changes the bytes in use for every handle, within the capacity", () => {
    const pool = makePool(1);
    using first = allocate(pool, 100);
    using second = first.retain();
    first.resize(SLAB);
    expect(second.bytes.byteLength).toBe(SLAB);
    expect(() => first.resize(SLAB + 1)).toThrow(RangeError);
  });

  test("has no address in a pool without native memory", () => {
    const pool = makePool(1);
    using buffer = allocate(pool, 1);
    expect(buffer.address).toBeUndefined();
  });
});
