import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import { HeapMemory, MemoryPool, PAGE_BYTES } from "../../../src/memory/index.ts";
import {
  DiskTier,
  chunkFileName,
  chunkNamePrefix,
  createPolicy,
  sealChunk,
} from "../../../src/tiers/index.ts";

const NUM_FILES = 30_000;
const CHUNKS_PER_PROMPT = 20;
/** 100,000 files are to be adopted in 5 s. */
const MAX_MS_PER_FILE = 5_000 / 100_000;
const MAX_HEAP_BYTES_PER_FILE = 400;

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const keyOf = (index: number): ChunkKey =>
  createHash("sha256").update(String(index)).digest("hex").slice(0, 32) as ChunkKey;

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "warmkv-adoption-"));
  const prefix = chunkNamePrefix({
    format: "warmkv",
    modelName: "org/a-model-with-a-name-1.5B",
    worldSize: 1,
    workerId: 0,
  });
  const bytes = new Uint8Array(PAGE_BYTES);
  for (let index = 0; index < NUM_FILES; index++) {
    const key = keyOf(index);
    const parent = index % CHUNKS_PER_PROMPT ? keyOf(index - 1) : undefined;
    const place = { key, parent, fingerprint: "0".repeat(32), start: 0, end: 256 };
    sealChunk(bytes, { kind: "tokens", ...place, label: new Uint8Array(1024) });
    writeFileSync(path.join(directory, chunkFileName(prefix, key)), bytes);
  }
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

test(`${NUM_FILES} files are adopted fast, into an index that is small`, async () => {
  const pool = new MemoryPool(new HeapMemory(16 * PAGE_BYTES), PAGE_BYTES);
  const policy = createPolicy("LRU");
  collectGarbage();
  const heapBefore = process.memoryUsage().heapUsed;
  const startMs = performance.now();
  await using tier = await DiskTier.open({
    paths: [directory],
    maxSizeBytes: NUM_FILES * PAGE_BYTES,
    modelName: "org/a-model-with-a-name-1.5B",
    pool,
    policy,
  });
  await tier.adopted;
  const adoptedMs = performance.now() - startMs;
  expect(tier.stats()).toMatchObject({
    numChunks: NUM_FILES,
    usedBytes: NUM_FILES * PAGE_BYTES,
    numDamaged: 0,
  });
  // The headers are read behind that.
  await expect.poll(() => policy.size, { timeout: 60_000 }).toBe(NUM_FILES);
  collectGarbage();
  const heapBytes = process.memoryUsage().heapUsed - heapBefore;
  console.log(
    `${NUM_FILES} files adopted in ${adoptedMs.toFixed(0)} ms, ${(heapBytes / NUM_FILES).toFixed(0)} bytes of heap each`,
  );
  expect(adoptedMs).toBeLessThan(NUM_FILES * MAX_MS_PER_FILE);
  expect(heapBytes / NUM_FILES).toBeLessThan(MAX_HEAP_BYTES_PER_FILE);

  const prompt = Array.from({ length: CHUNKS_PER_PROMPT }, (_, index) => keyOf(index));
  expect(await tier.lookup(prompt)).toBe(CHUNKS_PER_PROMPT);
});
