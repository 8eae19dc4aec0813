import { copyFile, readFile, rename, rm, truncate, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { subscribe } from "../../../src/core/index.ts";
import { type FileSystem, nodeFileSystem } from "../../../src/tiers/disk/file-system.ts";
import { isPayloadIntact, readChunkHeader } from "../../../src/tiers/index.ts";
import { keysOf, makePool, promptChunks, storeChunks } from "../tiers/chunk-fixtures.ts";
import {
  DiskBench,
  directoryBytes,
  FILE_BYTES,
  fileSystemWith,
  systemError,
  take,
} from "./disk-fixtures.ts";

const HEADER_BYTES = 4096;

/** The metrics while `work` runs. */
async function metricsOf(work: () => Promise<void>): Promise<string[]> {
  const metrics: string[] = [];
  const unsubscribers = [
    subscribe("warmkv:cache:damaged", () => metrics.push("damaged")),
    subscribe("warmkv:cache:refused", () => metrics.push("refused")),
    subscribe("warmkv:tier:failed", ({ code }) => metrics.push(`failed: ${code}`)),
  ];
  try {
    await work();
  } finally {
    for (const unsubscribe of unsubscribers) unsubscribe();
  }
  return metrics;
}

describe("a damaged file", () => {
  test("any byte of the header changed: a miss, removed, counted, and stored anew", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    const specs = promptChunks(1, 1);
    const [key] = keysOf(specs);
    await bench.put(tier, specs);
    const file = await bench.fileOf(key!);
    const whole = await readFile(file);
    for (let at = 0; at < HEADER_BYTES; at += at < 128 ? 1 : 61) {
      const damaged = Buffer.from(whole);
      damaged[at] = damaged[at]! ^ (1 << (at % 8));
      await writeFile(file, damaged);
      const metrics = await metricsOf(async () => expect(await take(tier, [key!])).toBe(0));
      expect(metrics).toEqual(["damaged"]);
      expect(await bench.names()).toEqual([]);
      expect(tier.stats()).toMatchObject({ numChunks: 0, usedBytes: 0 });
      await bench.put(tier, specs);
      expect(await take(tier, [key!])).toBe(1);
    }
  });

  test("any bit of the payload changed: the checksum tells, and remove() drops the file", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    const specs = promptChunks(1, 1);
    const [key] = keysOf(specs);
    await bench.put(tier, specs);
    const file = await bench.fileOf(key!);
    const whole = await readFile(file);
    const payloadBits = 8 * readChunkHeader(whole)!.payloadBytes;
    const property = fc.asyncProperty(fc.nat(payloadBits - 1), async (bit) => {
      const damaged = Buffer.from(whole);
      damaged[HEADER_BYTES + (bit >> 3)]! ^= 1 << (bit & 7);
      await writeFile(file, damaged);
      using lease = await tier.acquire([key!]);
      for await (using buffer of lease.load(0, new AbortController().signal)) {
        expect(isPayloadIntact(buffer.bytes, readChunkHeader(buffer.bytes)!)).toBe(false);
      }
    });
    await fc.assert(property, { numRuns: 1000 });
    expect(await tier.remove([key!])).toBe(1);
    expect(await bench.names()).toEqual([]);
  });

  test("cut off anywhere: a miss, removed, counted", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    const specs = promptChunks(1, 3);
    const keys = keysOf(specs);
    for (const numBytes of [0, 1, 95, 4095, 4096, 4097, 6000, FILE_BYTES - 1]) {
      await bench.put(tier, specs);
      await truncate(await bench.fileOf(keys[1]!), numBytes);
      const metrics = await metricsOf(async () => expect(await take(tier, keys)).toBe(1));
      expect(metrics).toEqual(["damaged"]);
      expect(await bench.names()).toHaveLength(2);
    }
  });

  test("two files that changed places are two misses", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    const keys = keysOf(promptChunks(1, 2));
    await bench.put(tier, promptChunks(1, 2));
    const [a, b] = [await bench.fileOf(keys[0]!), await bench.fileOf(keys[1]!)];
    await rename(a, `${a}.away`);
    await rename(b, a);
    await rename(`${a}.away`, b);
    for (const key of keys) expect(await take(tier, [key])).toBe(0);
    expect(tier.stats()).toMatchObject({ numDamaged: 2, numChunks: 0 });
  });

  test("a file that another process puts there is not believed either", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    const [stored, other] = keysOf(promptChunks(1, 2));
    await bench.put(tier, promptChunks(1, 1));
    const file = await bench.fileOf(stored!);
    await copyFile(file, file.replace(stored!, other!));
    expect(await tier.lookup([other!])).toBe(0);
    await writeFile(file.replace(stored!, other!), "");
    expect(await tier.lookup([other!])).toBe(0);
    expect(tier.stats().numDamaged).toBe(2);
    expect(await bench.names()).toHaveLength(1);
  });

  test("one that cannot be read is a miss, removed, counted", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open({
      fileSystem: fileSystemWith({ read: () => Promise.reject(systemError("EIO")) }),
    });
    await bench.put(tier, promptChunks(1, 2));
    const keys = keysOf(promptChunks(1, 2));
    const metrics = await metricsOf(async () => expect(await take(tier, keys)).toBe(0));
    expect(metrics).toContain("damaged");
  });
});

describe("a directory", () => {
  const specs = promptChunks(1, 4);
  const keys = keysOf(specs);

  test("deleted: misses and a metric, then it is made again and used", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    await bench.put(tier, specs);
    bench.clock.advance(10_000);
    await rm(bench.directory, { recursive: true });
    const metrics = await metricsOf(async () => {
      expect(await take(tier, keys)).toBe(0);
      await bench.put(tier, promptChunks(2, 4));
      expect(await take(tier, keysOf(promptChunks(2, 4)))).toBe(0);
    });
    expect(metrics).toContain("failed: unavailable");
    await expect
      .poll(async () => {
        bench.clock.advance(120_000);
        await tier.lookup(keys);
        await bench.put(tier, specs);
        return await take(tier, keys);
      })
      .toBe(4);
    expect(tier.stats()).toMatchObject({ numChunks: 4, usedBytes: 4 * FILE_BYTES });
  });

  test("replaced by a file: misses and a metric, and back in use when it is back", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    await bench.put(tier, specs);
    bench.clock.advance(10_000);
    await rename(bench.directory, `${bench.directory}.away`);
    await writeFile(bench.directory, "in the way");
    const metrics = await metricsOf(async () => {
      expect(await take(tier, keys)).toBe(0);
      expect(await tier.lookup(keys)).toBe(0);
      expect(await bench.put(tier, promptChunks(2, 2))).toBe(0);
    });
    expect(metrics).toEqual(["failed: unavailable", "refused"]);
    expect(tier.isUp).toBe(false);
    await rm(bench.directory);
    await rename(`${bench.directory}.away`, bench.directory);
    await expect
      .poll(async () => {
        bench.clock.advance(120_000);
        await tier.lookup(keys);
        return await take(tier, keys);
      })
      .toBe(4);
    await expect.poll(() => tier.isUp).toBe(true);
  });

  test("read-only: stores are refused, counted and left off for a while; loads go on", async () => {
    await using bench = await DiskBench.make();
    let isReadOnly = false;
    let numOpens = 0;
    const readOnly = async (): Promise<void> => {
      if (isReadOnly) throw systemError("EROFS");
    };
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        open: async (file, flags) => {
          if (file.endsWith(".tmp")) {
            numOpens++;
            await readOnly();
          }
          return await nodeFileSystem.open(file, flags);
        },
        unlink: (file) => readOnly().then(() => nodeFileSystem.unlink(file)),
        rename: (from, to) => readOnly().then(() => nodeFileSystem.rename(from, to)),
      }),
    });
    await bench.put(tier, specs);
    isReadOnly = true;
    numOpens = 0;
    const metrics = await metricsOf(async () => {
      await bench.put(tier, promptChunks(2, 1));
      for (let round = 0; round < 5; round++) await bench.put(tier, promptChunks(2, 3));
      expect(await take(tier, keys)).toBe(4);
    });
    expect(numOpens).toBe(1);
    expect(metrics).toEqual(["refused", "failed: unavailable", ...Array(5).fill("refused")]);
    isReadOnly = false;
    bench.clock.advance(1_001);
    expect(await bench.put(tier, promptChunks(2, 3))).toBe(3);
    expect(await take(tier, keysOf(promptChunks(2, 3)))).toBe(3);
  });

  test("read-only and full: what cannot be evicted stays, counted and served", async () => {
    await using bench = await DiskBench.make();
    let isReadOnly = false;
    const readOnly = async (): Promise<void> => {
      if (isReadOnly) throw systemError("EROFS");
    };
    const tier = await bench.open({
      maxSizeBytes: 4 * FILE_BYTES,
      fileSystem: fileSystemWith({
        unlink: (file) => readOnly().then(() => nodeFileSystem.unlink(file)),
        rename: (from, to) => readOnly().then(() => nodeFileSystem.rename(from, to)),
      }),
    });
    await bench.put(tier, specs);
    isReadOnly = true;
    await bench.put(tier, promptChunks(2, 2));
    expect(tier.stats()).toMatchObject({ numChunks: 4, usedBytes: 4 * FILE_BYTES });
    expect(await take(tier, keys)).toBe(4);
  });

  test("full before the bound: others make room; when there are none, refused and counted", async () => {
    await using bench = await DiskBench.make();
    let freeBytes = 6 * FILE_BYTES;
    /** A disk of its own for the directory. */
    const write: FileSystem["write"] = async (...args) => {
      if ((await directoryBytes(bench.directory)) + args[1].byteLength > freeBytes) {
        throw systemError("ENOSPC");
      }
      return await nodeFileSystem.write(...args);
    };
    const tier = await bench.open({ numIoThreads: 1, fileSystem: fileSystemWith({ write }) });
    for (let seed = 0; seed < 6; seed++) {
      expect(await bench.put(tier, promptChunks(seed, 4))).toBe(4);
      expect(await take(tier, keysOf(promptChunks(seed, 4)))).toBe(4);
    }
    expect(await directoryBytes(bench.directory)).toBe(6 * FILE_BYTES);
    freeBytes = 0;
    await tier.clear();
    const metrics = await metricsOf(async () => void (await bench.put(tier, specs)));
    expect(metrics).toEqual(Array(4).fill("refused"));
    expect(await bench.names()).toEqual([]);
  });

  test("that does not answer: a miss within a second, a metric, and a pause", async () => {
    await using bench = await DiskBench.make();
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      let numCalls = 0;
      const hangs: FileSystem["status"] = () => {
        numCalls++;
        return new Promise(() => {});
      };
      const tier = await bench.open({ fileSystem: fileSystemWith({ status: hangs }) });
      const metrics = await metricsOf(async () => {
        const looking = tier.lookup(keys);
        await vi.advanceTimersByTimeAsync(1_000);
        expect(await looking).toBe(0);
        expect(await tier.lookup(keys)).toBe(0);
      });
      expect([numCalls, metrics]).toEqual([1, ["failed: timeout"]]);
    } finally {
      vi.useRealTimers();
    }
  });
});

test("a load that fails gives its slabs back", async () => {
  await using bench = await DiskBench.make();
  const writer = await bench.open();
  const keys = keysOf(promptChunks(1, 8));
  await bench.put(writer, promptChunks(1, 8));
  const pool = makePool(16);
  const tier = await bench.open({
    pool,
    fileSystem: fileSystemWith({ read: () => Promise.reject(systemError("EACCES")) }),
  });
  using lease = await tier.acquire(keys);
  for await (using _ of lease.load(0, new AbortController().signal)) expect.unreachable();
  await tier[Symbol.asyncDispose]();
  pool.assertAllFree();
});

test("a system that fails at random never breaks the books, and everything works once it recovers", async () => {
  const codes = ["ENOENT", "EIO", "ENOSPC", "EACCES", "EMFILE"];
  const property = fc.asyncProperty(fc.infiniteStream(fc.nat(99)), async (dice) => {
    await using bench = await DiskBench.make();
    let isFaulty = true;
    const fault = (): void => {
      const roll = dice.next().value as number;
      if (isFaulty && roll < 20) throw systemError(codes[roll % codes.length]!);
    };
    const faulty = <Call extends keyof FileSystem>(call: Call): FileSystem[Call] =>
      (async (...args: never[]) => {
        fault();
        return await (nodeFileSystem[call] as (...args: never[]) => Promise<unknown>)(...args);
      }) as unknown as FileSystem[Call];
    const tier = await bench.open({
      maxSizeBytes: 16 * FILE_BYTES,
      fileSystem: fileSystemWith({
        open: faulty("open"),
        read: faulty("read"),
        write: faulty("write"),
        // It says that it failed, but it did its work, or the test would run out of files.
        close: async (file) => {
          await nodeFileSystem.close(file);
          fault();
        },
        rename: faulty("rename"),
        unlink: faulty("unlink"),
        status: faulty("status"),
      }),
    });
    for (let round = 0; round < 15; round++) {
      await storeChunks(tier, bench.pool, promptChunks(round % 5, 6, 2));
      await take(tier, keysOf(promptChunks((round + 2) % 5, 6, 2)));
      if (round % 4 === 0) await tier.remove(keysOf(promptChunks(round % 5, 6, 2)).slice(4));
      bench.clock.advance(2_000);
    }
    await tier.flush();
    isFaulty = false;
    bench.clock.advance(120_000);
    await tier.clear();
    // Reads ahead of a load that ended may still be removing what they found damaged.
    await expect.poll(() => tier.stats()).toMatchObject({ numChunks: 0, usedBytes: 0 });
    bench.clock.advance(120_000);
    expect(await bench.put(tier, promptChunks(9, 16))).toBe(16);
    expect(await take(tier, keysOf(promptChunks(9, 16)))).toBe(16);
    expect(await directoryBytes(bench.directory)).toBe(16 * FILE_BYTES);
  });
  await fc.assert(property, { numRuns: 8 });
});
