import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import type { LoadedChunk } from "../../../src/cache/index.ts";
import { RestoreQueue } from "../../../src/cache/restore-queue.ts";
import { type ChunkKey, MiB } from "../../../src/core/index.ts";
import { HeapMemory, MemoryPool } from "../../../src/memory/index.ts";

const key = "ab".repeat(16) as ChunkKey;
const ignore = (): void => {};

/** One fills the first batch, four the second, sixteen all that follow. */
const CHUNK_BYTES = 2 * MiB;

function makeChunks(
  num: number,
  payloadBytes = CHUNK_BYTES,
): { pool: MemoryPool; chunks: LoadedChunk[] } {
  const pool = new MemoryPool(new HeapMemory(num * 4096), 4096);
  const chunks = Array.from({ length: num }, (_, index): LoadedChunk => {
    const buffer = pool.tryAllocate(100)!;
    const range = { start: index * 10, end: index * 10 + 10 };
    return {
      kind: "tokens",
      key,
      ...range,
      buffer,
      payloadOffset: 0,
      payloadBytes,
      crc32: undefined,
    };
  });
  return { pool, chunks };
}

/** An engine that takes a turn for each call, or waits for the gate. */
function makeEngine(limit = Infinity, gate: Promise<void> = Promise.resolve()) {
  const batches: number[] = [];
  const stats = { inFlight: 0, peak: 0 };
  const consume = async (chunks: readonly LoadedChunk[]): Promise<number> => {
    batches.push(chunks.length);
    stats.peak = Math.max(stats.peak, ++stats.inFlight);
    await gate;
    await nextTurn();
    stats.inFlight--;
    const num = Math.min(chunks.length, limit);
    limit -= num;
    return num;
  };
  return { batches, stats, consume };
}

test("a source that has all in memory gives whole batches that grow, and the rest at the end", async () => {
  const { pool, chunks } = makeChunks(24);
  const { batches, stats, consume } = makeEngine();
  const queue = new RestoreQueue(consume, ignore);
  for (const chunk of chunks) expect(await queue.push(chunk)).toBe(true);
  await queue.finish();
  expect(batches).toEqual([1, 4, 16, 3]);
  expect(stats.peak).toBe(2);
  expect(queue).toMatchObject({ end: 240, numOffered: 24, numBytes: 24 * CHUNK_BYTES });
  pool.assertAllFree();
});

test("an idle engine gets what there is when the source has nothing more for now", async () => {
  const { pool, chunks } = makeChunks(3);
  const { batches, consume } = makeEngine();
  const queue = new RestoreQueue(consume, ignore);
  for (const chunk of chunks) {
    await queue.push(chunk);
    await nextTurn();
    await nextTurn();
  }
  expect(batches[0]).toBe(1);
  await queue.finish();
  expect(queue.end).toBe(30);
  pool.assertAllFree();
});

test("an engine that is slower than its source never has more than two batches", async () => {
  const { pool, chunks } = makeChunks(30);
  let open!: () => void;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const { batches, consume } = makeEngine(Infinity, gate);
  const queue = new RestoreQueue(consume, ignore);
  let numPushed = 0;
  const pushing = (async () => {
    for (const chunk of chunks) {
      await queue.push(chunk);
      numPushed++;
    }
  })();
  await nextTurn();
  expect(batches).toEqual([1, 4]);
  expect(numPushed).toBeLessThanOrEqual(21);
  open();
  await pushing;
  await queue.finish();
  expect(queue.end).toBe(300);
  pool.assertAllFree();
});

test("large chunks go one by one", async () => {
  const { pool, chunks } = makeChunks(4, 40 * MiB);
  const { batches, consume } = makeEngine();
  const queue = new RestoreQueue(consume, ignore);
  for (const chunk of chunks) await queue.push(chunk);
  await queue.finish();
  expect(batches).toEqual([1, 1, 1, 1]);
  pool.assertAllFree();
});

test("behind a batch that stopped short nothing counts, and no more is taken", async () => {
  const { pool, chunks } = makeChunks(60);
  const { batches, consume } = makeEngine(3);
  const refused: number[] = [];
  const queue = new RestoreQueue(
    async (batch) => {
      const isLater = batches.length >= 2;
      const num = await consume(batch);
      // A later call may succeed on its own: it is behind a gap all the same.
      return isLater ? batch.length : num;
    },
    (chunk) => refused.push(chunk.start),
  );
  let numPushed = 0;
  while (await queue.push(chunks[numPushed]!)) numPushed++;
  for (const chunk of chunks.slice(numPushed + 1)) chunk.buffer[Symbol.dispose]();
  await queue.finish();
  expect(queue.end).toBe(30);
  expect(refused).toEqual([30]);
  expect(numPushed).toBeLessThan(59);
  pool.assertAllFree();
});

test("finish() rethrows what the engine threw, after everything is given back", async () => {
  const { pool, chunks } = makeChunks(6);
  const queue = new RestoreQueue(() => Promise.reject(new Error("gone")), ignore);
  for (const chunk of chunks) await queue.push(chunk);
  await expect(queue.finish()).rejects.toThrow("gone");
  expect(queue.end).toBeUndefined();
  pool.assertAllFree();
});
