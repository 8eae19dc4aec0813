import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { MiB, alignUp } from "../core/index.ts";
import { MappedMemory, MemoryPool, PAGE_BYTES } from "../memory/index.ts";
import { PlainFiles, type PlainFilesOptions } from "./plain-files.ts";
import { median } from "./statistics.ts";

const NUM_ROUNDS = 9;

/** As the disk tier has them. */
export interface PlainReadsOptions extends PlainFilesOptions {
  readonly numBytes: number;
}

/** Milliseconds that reading so many bytes takes as plainly as Node can, from files of a MiB. Median. */
export async function timePlainReads(options: PlainReadsOptions): Promise<number> {
  const { useOdirect, concurrency, numBytes } = options;
  const numFiles = Math.ceil(numBytes / MiB);
  const fileBytes = alignUp(Math.ceil(numBytes / numFiles), PAGE_BYTES);
  const directory = await mkdtemp(join(options.directory, "warmkv-bench-"));
  const files = new PlainFiles({ directory, useOdirect, concurrency });
  using pool = new MemoryPool(new MappedMemory((concurrency + 1) * fileBytes), fileBytes);
  try {
    using buffer = pool.tryAllocate(fileBytes)!;
    buffer.bytes.fill(1);
    await files.writeAll(Array.from({ length: numFiles }, () => buffer.bytes));
    const timesMs: number[] = [];
    for (let round = 0; round < NUM_ROUNDS; round++) {
      const startMs = performance.now();
      await files.readAll(numFiles, fileBytes, pool);
      timesMs.push(performance.now() - startMs);
    }
    return median(timesMs);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
