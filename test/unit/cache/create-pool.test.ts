import { expect, test } from "vitest";
import { createPool } from "../../../src/cache/create-pool.ts";
import { DEFAULT_LOCAL_CPU_BYTES } from "../../../src/config/index.ts";
import { UsageError } from "../../../src/core/index.ts";
import { LogLines } from "./cache-fixtures.ts";

test("createPool() uses the whole slabs that fit", () => {
  using pool = createPool(3 * 8192 + 5000, 8192, new LogLines());
  expect(pool).toMatchObject({ numSlabs: 3, slabBytes: 8192 });
  using buffer = pool.tryAllocate(8192);
  buffer!.bytes.fill(1);
});

test("createPool() falls back to ordinary memory with a warning", async () => {
  const log = new LogLines();
  // More than any machine can map.
  using pool = createPool(2 ** 52, 2 ** 48, log, Infinity);
  expect(pool.memory.address).toBeUndefined();
  expect(log.lines[0]).toMatch(/^Cannot map .*: keeping chunks in ordinary memory/);
  await expect.poll(() => log.lines.length).toBe(2);
  expect(log.lines[1]).toMatch(/may be swapped out/);
});

test("createPool() refuses a size below one slab", () => {
  expect(() => createPool(8191, 8192, new LogLines())).toThrow(UsageError);
});

test("createPool() makes the default half of what a small machine has, and says so", () => {
  const log = new LogLines();
  using pool = createPool(DEFAULT_LOCAL_CPU_BYTES, 8192, log, 2 ** 20);
  expect(pool.numSlabs).toBe(2 ** 19 / 8192);
  expect(log.lines[0]).toMatch(/^max_local_cpu_size is 512.00 KiB, half of this machine's memory/);
});

test("createPool() refuses what the machine does not have", () => {
  const create = (numBytes: number): unknown => createPool(numBytes, 8192, new LogLines(), 2 ** 20);
  expect(() => create(2 ** 21)).toThrow(
    "Cannot use max_local_cpu_size of 2.00 MiB: wanted less than the memory that there is, 1.00 MiB",
  );
  expect(() => createPool(2 ** 50, 8192, new LogLines())).toThrow(UsageError);
});
