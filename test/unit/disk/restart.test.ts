import {
  appendFile,
  copyFile,
  mkdir,
  readFile,
  rename,
  symlink,
  utimes,
  writeFile,
} from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import { nodeFileSystem } from "../../../src/tiers/disk/file-system.ts";
import { keysOf, promptChunks, storeChunks } from "../tiers/chunk-fixtures.ts";
import {
  DiskBench,
  directoryBytes,
  FILE_BYTES,
  fileSystemWith,
  Gate,
  take,
} from "./disk-fixtures.ts";

/** What an earlier run leaves behind. */
async function leaveBehind(bench: DiskBench, seed: number, numChunks: number): Promise<ChunkKey[]> {
  const tier = await bench.open();
  await bench.put(tier, promptChunks(seed, numChunks));
  await tier[Symbol.asyncDispose]();
  return keysOf(promptChunks(seed, numChunks));
}

/** Sets the age of chunks: the first key becomes the oldest. */
async function age(bench: DiskBench, keys: readonly ChunkKey[]): Promise<void> {
  for (const [index, key] of keys.entries()) {
    await utimes(await bench.fileOf(key), 1000 + index, 1000 + index);
  }
}

const temporary = (pid: number, host: string): string =>
  `.warmkv-${pid}-123456-${host}-0badcafe-0.tmp`;

describe("after a restart", () => {
  test("the chunks of an earlier run are counted and served", async () => {
    await using bench = await DiskBench.make();
    const keys = await leaveBehind(bench, 1, 10);
    const tier = await bench.open();
    await tier.adopted;
    expect(tier.stats()).toMatchObject({ numChunks: 10, usedBytes: 10 * FILE_BYTES });
    expect(await tier.lookup(keys)).toBe(10);
    expect(await take(tier, keys)).toBe(10);
  });

  test("one that is removed and stored anew while the directory is looked at is written", async () => {
    await using bench = await DiskBench.make();
    const [chunk] = promptChunks(1, 1);
    const [key] = await leaveBehind(bench, 1, 1);
    const seen = new Gate();
    const gate = new Gate();
    let isFirst = true;
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        status: async (file) => {
          const status = await nodeFileSystem.status(file);
          if (!isFirst) return status;
          isFirst = false;
          seen.open();
          await gate.opened;
          return status;
        },
      }),
    });
    await seen.opened;
    expect(await tier.remove([key!])).toBe(1);
    expect(await storeChunks(tier, bench.pool, [chunk!])).toBe(1);
    gate.open();
    await tier[Symbol.asyncDispose]();
    expect(await take(await bench.open(), [key!])).toBe(1);
  });

  test("one of another size that is stored anew while headers are read is no damage", async () => {
    await using bench = await DiskBench.make();
    const [chunk] = promptChunks(1, 1);
    const [key] = await leaveBehind(bench, 1, 1);
    await appendFile(await bench.fileOf(key!), Buffer.alloc(FILE_BYTES));
    const seen = new Gate();
    const gate = new Gate();
    let isFirst = true;
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        open: async (file, flags) => {
          if (isFirst) {
            isFirst = false;
            seen.open();
            await gate.opened;
          }
          return nodeFileSystem.open(file, flags);
        },
      }),
    });
    await seen.opened;
    expect(await tier.remove([key!])).toBe(1);
    expect(await storeChunks(tier, bench.pool, [chunk!])).toBe(1);
    await tier.flush();
    gate.open();
    await tier[Symbol.asyncDispose]();
    expect(tier.stats().numDamaged).toBe(0);
    expect(await take(await bench.open(), [key!])).toBe(1);
  });

  test("they are served before the directory was listed", async () => {
    await using bench = await DiskBench.make();
    const keys = await leaveBehind(bench, 1, 10);
    const gate = new Gate();
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        list: async function* (directory) {
          await gate.opened;
          yield* nodeFileSystem.list(directory);
        },
      }),
    });
    expect(await take(tier, keys)).toBe(10);
    gate.open();
    await tier.adopted;
    expect(tier.stats()).toMatchObject({ numChunks: 10, usedBytes: 10 * FILE_BYTES });
  });

  test("what is stored before it was found again is not written twice, and counts once", async () => {
    await using bench = await DiskBench.make();
    const keys = await leaveBehind(bench, 1, 8);
    const tier = await bench.open({ maxSizeBytes: 8 * FILE_BYTES });
    expect(await storeChunks(tier, bench.pool, promptChunks(1, 8))).toBe(8);
    await tier.flush();
    expect(tier.stats()).toMatchObject({ numStored: 0, usedBytes: 8 * FILE_BYTES });
    expect(await take(tier, keys)).toBe(8);
    await bench.put(tier, promptChunks(2, 3));
    expect(await directoryBytes(bench.directory)).toBe(8 * FILE_BYTES);
  });

  test("no payload is read to find them", async () => {
    await using bench = await DiskBench.make();
    await leaveBehind(bench, 1, 10);
    let numBytes = 0;
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        read: (file, into, position) => {
          numBytes += into.byteLength;
          return nodeFileSystem.read(file, into, position);
        },
      }),
    });
    await tier.adopted;
    await bench.put(tier, promptChunks(2, 60));
    expect(numBytes).toBe(10 * 4096);
  });

  test("the least recently used go first, suffixes before prefixes", async () => {
    await using bench = await DiskBench.make();
    const old = await leaveBehind(bench, 1, 4);
    const used = await leaveBehind(bench, 2, 4);
    // Within a prompt the prefix is older, as it is written first.
    await age(bench, [...old, ...used]);
    const tier = await bench.open({ maxSizeBytes: 8 * FILE_BYTES });
    await bench.put(tier, promptChunks(3, 2));
    expect(await tier.lookup(old)).toBe(2);
    expect(await tier.lookup(used)).toBe(4);
  });

  test("a hit counts in the next run, written down at most once a minute", async () => {
    await using bench = await DiskBench.make();
    const [hit, other] = [await leaveBehind(bench, 1, 2), await leaveBehind(bench, 2, 2)];
    await age(bench, [...hit, ...other]);
    let numWritten = 0;
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        setModified: (...args) => {
          numWritten++;
          return nodeFileSystem.setModified(...args);
        },
      }),
    });
    for (let round = 0; round < 5; round++) expect(await take(tier, hit)).toBe(2);
    bench.clock.advance(61_000);
    expect(await take(tier, hit)).toBe(2);
    await tier[Symbol.asyncDispose]();
    expect(numWritten).toBe(4);
    const next = await bench.open({ maxSizeBytes: 4 * FILE_BYTES });
    await bench.put(next, promptChunks(3, 2));
    expect([await next.lookup(hit), await next.lookup(other)]).toEqual([2, 0]);
  });

  test("a lower bound is met at once, prefixes kept", async () => {
    await using bench = await DiskBench.make();
    const keys = await leaveBehind(bench, 1, 10);
    const tier = await bench.open({ maxSizeBytes: 4 * FILE_BYTES });
    await tier.adopted;
    await expect.poll(() => directoryBytes(bench.directory)).toBe(4 * FILE_BYTES);
    expect(await take(tier, keys)).toBe(4);
  });

  test("nothing is written over the bound while files of earlier runs are being found", async () => {
    await using bench = await DiskBench.make();
    await leaveBehind(bench, 1, 10);
    const gate = new Gate();
    const tier = await bench.open({
      maxSizeBytes: 10 * FILE_BYTES,
      fileSystem: fileSystemWith({
        read: async (...args) => {
          await gate.opened;
          return await nodeFileSystem.read(...args);
        },
      }),
    });
    await storeChunks(tier, bench.pool, promptChunks(2, 5));
    await tier.adopted;
    expect(await directoryBytes(bench.directory)).toBe(10 * FILE_BYTES);
    gate.open();
    await tier.flush();
    expect(await directoryBytes(bench.directory)).toBe(10 * FILE_BYTES);
    expect(await tier.lookup(keysOf(promptChunks(2, 5)))).toBe(5);
  });

  test("files are found where an earlier run put them, with other paths or another model name", async () => {
    await using bench = await DiskBench.make();
    const second = path.join(bench.root, "second");
    await leaveBehind(bench, 1, 10);
    const tier = await bench.open({ paths: [bench.directory, second], modelName: "renamed" });
    await tier.adopted;
    expect(await take(tier, keysOf(promptChunks(1, 10)))).toBe(10);
    await tier.clear();
    expect(await bench.names()).toEqual([]);
  });
});

describe("what is not a chunk of ours", () => {
  test("is left alone and does not count", async () => {
    await using bench = await DiskBench.make();
    const [key] = await leaveBehind(bench, 1, 1);
    const file = await bench.fileOf(key!);
    const others = ["notes.txt", `vllm@m@1@0@${key}@half.pt`, `${key}.kv`];
    for (const name of others) await copyFile(file, path.join(bench.directory, name));
    const inTheWay = path.basename(file).replace(key!, "0".repeat(32));
    await mkdir(path.join(bench.directory, inTheWay));
    await symlink("/nowhere", path.join(bench.directory, inTheWay.replace("0", "1")));
    const tier = await bench.open();
    await tier.adopted;
    expect(tier.stats()).toMatchObject({ numChunks: 1, usedBytes: FILE_BYTES, numDamaged: 0 });
    await tier.clear();
    expect(await bench.names()).toHaveLength(5);
  });

  test("a file that is cut off, empty, of another version or another key is removed and counted", async () => {
    await using bench = await DiskBench.make();
    const keys = await leaveBehind(bench, 1, 6);
    const files = await Promise.all(keys.map((key) => bench.fileOf(key)));
    const whole = await readFile(files[0]!);
    await writeFile(files[1]!, whole.subarray(0, 4096));
    await writeFile(files[2]!, whole.subarray(0, 5000));
    await writeFile(files[3]!, "");
    await writeFile(files[4]!, Buffer.from(await readFile(files[4]!)).fill(9, 4, 5));
    await copyFile(files[0]!, files[5]!);
    const tier = await bench.open();
    await tier.adopted;
    await expect.poll(() => tier.stats()).toMatchObject({ numChunks: 1, numDamaged: 5 });
    expect(await bench.names()).toEqual([path.basename(files[0]!)]);
  });

  test("a second file of one key goes", async () => {
    await using bench = await DiskBench.make();
    const [key] = await leaveBehind(bench, 1, 1);
    const file = await bench.fileOf(key!);
    await copyFile(file, file.replace("org-model", "other"));
    const tier = await bench.open();
    await tier.adopted;
    expect(await bench.names()).toHaveLength(1);
    expect(await take(tier, [key!])).toBe(1);
  });

  test("a temporary file goes when its process is gone, else it stays and counts", async () => {
    await using bench = await DiskBench.make();
    const other = await bench.open({
      fileSystem: fileSystemWith({
        status: async (file) => {
          const status = await nodeFileSystem.status(file);
          return file.includes("-2-123456-") ? { ...status, changedMs: 1_000_000 } : status;
        },
      }),
    });
    const gate = new Gate();
    const writing = await bench.open({
      fileSystem: fileSystemWith({
        rename: async (...args) => {
          await gate.opened;
          return await nodeFileSystem.rename(...args);
        },
      }),
    });
    await storeChunks(writing, bench.pool, promptChunks(1, 1));
    await expect.poll(() => directoryBytes(bench.directory)).toBe(FILE_BYTES);
    const [alive] = await bench.names();
    const host = alive!.split("-")[3]!;
    const gone = temporary(2 ** 22 + 1, host);
    const reused = temporary(process.pid, host);
    const elsewhere = temporary(1, "0badcafe");
    const elsewhereAndOld = elsewhere.replace("-1-", "-2-");
    for (const name of [gone, reused, elsewhere, elsewhereAndOld]) {
      await writeFile(path.join(bench.directory, name), "rest");
    }
    expect(await other.clear()).toBe(0);
    expect((await bench.names()).toSorted()).toEqual([alive!, elsewhere].toSorted());
    expect(other.stats().usedBytes).toBe(FILE_BYTES + 4);
    gate.open();
  });
});

describe("another tier on the same directory", () => {
  test("finds what this one stored, at the next lookup", async () => {
    await using bench = await DiskBench.make();
    const [a, b] = [await bench.open(), await bench.open()];
    await Promise.all([a.adopted, b.adopted]);
    const keys = keysOf(promptChunks(1, 40));
    expect(await b.lookup(keys)).toBe(0);
    await bench.put(a, promptChunks(1, 40));
    expect(await b.lookup(keys)).toBe(40);
    expect(await take(b, keys)).toBe(40);
    expect(b.stats().usedBytes).toBe(40 * FILE_BYTES);
  });

  test("does not write what this one has written", async () => {
    await using bench = await DiskBench.make();
    const [a, b] = [await bench.open(), await bench.open()];
    await bench.put(a, promptChunks(1, 4));
    // So b knows that it is not alone.
    expect(await b.lookup(keysOf(promptChunks(1, 4)))).toBe(4);
    await bench.put(a, promptChunks(2, 4));
    expect(await bench.put(b, promptChunks(2, 4))).toBe(4);
    expect(b.stats().numStored).toBe(0);
    expect(await take(b, keysOf(promptChunks(2, 4)))).toBe(4);
  });

  test("evicts from this one's chunks too, so that both together stay near the bound", async () => {
    await using bench = await DiskBench.make();
    const [a, b] = [await bench.open(), await bench.open()];
    const bound = 64 * FILE_BYTES;
    let mostBytes = 0;
    for (let seed = 0; seed < 40; seed++) {
      await bench.put(seed % 2 ? a : b, promptChunks(seed, 8));
      mostBytes = Math.max(mostBytes, await directoryBytes(bench.directory));
      bench.clock.advance(1_000);
    }
    expect(mostBytes).toBeGreaterThanOrEqual(bound);
    expect(mostBytes).toBeLessThanOrEqual(bound + 16 * FILE_BYTES);
    // What the other has evicted is a miss, not a failure.
    for (let seed = 0; seed < 40; seed++) await take(a, keysOf(promptChunks(seed, 8)));
    expect(a.stats().numDamaged).toBe(0);
  });

  test("clear() removes this one's chunks, which then are misses", async () => {
    await using bench = await DiskBench.make();
    const [a, b] = [await bench.open(), await bench.open()];
    await bench.put(a, promptChunks(1, 4));
    expect(await b.clear()).toBe(4);
    expect(await take(a, keysOf(promptChunks(1, 4)))).toBe(0);
    expect(await a.lookup(keysOf(promptChunks(1, 4)))).toBe(0);
    expect(await bench.put(a, promptChunks(1, 4))).toBe(4);
    expect(await take(a, keysOf(promptChunks(1, 4)))).toBe(4);
  });

  test("a file moved away is a miss and forgotten", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    const keys = keysOf(promptChunks(1, 4));
    await bench.put(tier, promptChunks(1, 4));
    await rename(await bench.fileOf(keys[2]!), path.join(bench.root, "away"));
    expect(await take(tier, keys)).toBe(2);
    expect(await tier.lookup(keys)).toBe(2);
    expect(tier.stats()).toMatchObject({ numDamaged: 0, numChunks: 3 });
  });
});
