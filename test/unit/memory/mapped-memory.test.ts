import { describe, expect, test } from "vitest";
import { MappedMemory, MemoryPool, PAGE_BYTES } from "../../../src/memory/index.ts";

describe.runIf(process.platform !== "win32")("MappedMemory", () => {
  test("lends page-aligned memory that is zero at first and keeps what is written", () => {
    using memory = new MappedMemory(10 * PAGE_BYTES + 1);
    expect(memory.byteLength).toBe(11 * PAGE_BYTES);
    expect(memory.address % BigInt(PAGE_BYTES)).toBe(0n);
    const view = memory.view(PAGE_BYTES, PAGE_BYTES);
    expect(view.every((byte) => byte === 0)).toBe(true);
    view.fill(7);
    expect(memory.view(0, 3 * PAGE_BYTES).indexOf(7)).toBe(PAGE_BYTES);
    expect(memory.view(2 * PAGE_BYTES, 1)[0]).toBe(0);
  });

  test("gives the buffers of a pool their own addresses", () => {
    using pool = new MemoryPool(new MappedMemory(4 * PAGE_BYTES), PAGE_BYTES);
    const buffers = [1, 2, 3, 4].map(() => pool.tryAllocate(PAGE_BYTES)!);
    const offsets = buffers.map((buffer) => Number(buffer.address! - pool.memory.address!));
    expect(offsets.toSorted((a, b) => a - b)).toEqual(
      [0, 1, 2, 3].map((slab) => slab * PAGE_BYTES),
    );
    for (const buffer of buffers) buffer[Symbol.dispose]();
  });

  test("pin() keeps what was written, and says in a sentence when the system refuses", async () => {
    using memory = new MappedMemory(8 * PAGE_BYTES);
    memory.view(0, 3).set([1, 2, 3]);
    const refusal = await memory.pin();
    if (refusal !== undefined)
      expect(refusal).toMatch(/does not let this process lock .* "ulimit -l"/);
    expect([...memory.view(0, 3)]).toEqual([1, 2, 3]);
  });

  test("reserves more than the machine has free", () => {
    using memory = new MappedMemory(2 ** 42);
    expect(memory.view(2 ** 42 - PAGE_BYTES, 1)[0]).toBe(0);
  });

  test("refuses a size that no machine has", () => {
    expect(() => new MappedMemory(2 ** 52)).toThrow(/Cannot map .* for the pool: errno/);
  });
});
