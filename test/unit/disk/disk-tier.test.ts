import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { constants, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ChunkKey, silentLogger, subscribe } from "../../../src/core/index.ts";
import { PAGE_BYTES } from "../../../src/memory/index.ts";
import { DiskTier } from "../../../src/tiers/disk/index.ts";
import { type FileSystem, nodeFileSystem } from "../../../src/tiers/disk/file-system.ts";
import { createPolicy } from "../../../src/tiers/index.ts";
import {
  keysOf,
  makePool,
  promptChunks,
  SLAB_BYTES,
  storeChunks,
} from "../tiers/chunk-fixtures.ts";
import { tierConformance } from "../tiers/conformance.ts";
import {
  DiskBench,
  directoryBytes,
  FILE_BYTES,
  fileSystemWith,
  Gate,
  systemError,
  take,
} from "./disk-fixtures.ts";

for (const useOdirect of [false, true]) {
  tierConformance(`DiskTier (useOdirect ${useOdirect})`, async (pool) => {
    const directory = await mkdtemp(path.join(tmpdir(), "warmkv-disk-"));
    const tier = await DiskTier.open({
      paths: [directory],
      maxSizeBytes: 64 * SLAB_BYTES,
      pool,
      policy: createPolicy("LRU"),
      modelName: "org/model",
      useOdirect,
    });
    return { tier, cleanup: () => rm(directory, { recursive: true, force: true }) };
  });
}

describe("files", () => {
  test("a chunk is one file, named by its key, whole pages long, in a directory made for it", async () => {
    await using bench = await DiskBench.make();
    const directory = path.join(bench.root, "made", "when", "missing");
    const tier = await bench.open({ paths: [directory] });
    const [spec] = promptChunks(1, 1);
    await bench.put(tier, [spec!]);
    const file = path.join(directory, `warmkv@org-model@1@0@${spec!.key}.kv`);
    expect((await stat(file)).size).toBe(FILE_BYTES);
    // What the pool had behind the chunk does not get out.
    expect((await readFile(file)).subarray(4096 + 2000).every((byte) => byte === 0)).toBe(true);
  });

  test("a path that cannot be a directory is bad input", async () => {
    await using bench = await DiskBench.make();
    const tier = bench.open({ paths: ["/dev/null/cache"] });
    await expect(tier).rejects.toMatchObject({ name: "UsageError", param: "local_disk" });
  });

  test("chunks are spread over several paths and the bound is their total", async () => {
    await using bench = await DiskBench.make();
    const paths = [1, 2, 3].map((each) => path.join(bench.root, String(each)));
    const tier = await bench.open({ paths, maxSizeBytes: 24 * FILE_BYTES });
    const keys = keysOf(promptChunks(1, 24));
    await bench.put(tier, promptChunks(1, 24));
    const sizes = await Promise.all(paths.map(directoryBytes));
    expect(Math.min(...sizes)).toBeGreaterThan(0);
    expect(await take(tier, keys)).toBe(24);
    await bench.put(tier, promptChunks(2, 10));
    const after = await Promise.all(paths.map(directoryBytes));
    expect(after.reduce((sum, bytes) => sum + bytes)).toBe(24 * FILE_BYTES);
  });

  test("a full tier takes no chunk that its policy does not admit", async () => {
    await using bench = await DiskBench.make();
    const lru = createPolicy("LRU");
    const refused = keysOf(promptChunks(2, 4));
    const admits = (key: ChunkKey): boolean => !refused.includes(key);
    const policy = Object.assign(Object.create(lru) as typeof lru, { admits });
    for (const name of ["add", "touch", "remove", "victim"] as const) {
      Object.assign(policy, { [name]: (lru[name] as (...args: unknown[]) => unknown).bind(lru) });
    }
    const tier = await bench.open({ policy, maxSizeBytes: 6 * FILE_BYTES });
    await bench.put(tier, promptChunks(1, 6));
    await bench.put(tier, promptChunks(2, 4));
    expect(await tier.lookup(keysOf(promptChunks(1, 6)))).toBe(6);
    await bench.put(tier, promptChunks(3, 4));
    expect(await tier.lookup(keysOf(promptChunks(3, 4)))).toBe(4);
  });

  test("by_gpu keeps to one path, that of the device", async () => {
    await using bench = await DiskBench.make();
    const paths = [1, 2].map((each) => path.join(bench.root, String(each)));
    const tier = await bench.open({ paths, sharding: "by_gpu", deviceId: 3 });
    await bench.put(tier, promptChunks(1, 8));
    expect(await directoryBytes(paths[1]!)).toBe(8 * FILE_BYTES);
    await expect(stat(paths[0]!)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("one directory by two names counts once", async () => {
    await using bench = await DiskBench.make();
    const paths = [bench.directory, `${bench.directory}/../cache`];
    const tier = await bench.open({ paths });
    await bench.put(tier, promptChunks(1, 8));
    expect(await take(tier, keysOf(promptChunks(1, 8)))).toBe(8);
    expect(tier.stats().usedBytes).toBe(8 * FILE_BYTES);
  });
});

describe("the bound", () => {
  test("is kept at every moment, temporary files included, by files of all sizes", async () => {
    const size = fc.integer({ min: 2, max: 7 });
    const property = fc.asyncProperty(
      fc.array(size, { minLength: 20, maxLength: 60 }),
      fc.infiniteStream(fc.nat(6)),
      async (sizes, delays) => {
        await using bench = await DiskBench.make();
        const maxSizeBytes = 24 * PAGE_BYTES;
        let mostBytes = 0;
        const watched = <Call extends "write" | "rename" | "unlink">(
          call: Call,
        ): FileSystem[Call] =>
          (async (...args: never[]) => {
            for (let turns = delays.next().value as number; turns > 0; turns--) await nextTurn();
            const run = nodeFileSystem[call] as (...args: never[]) => Promise<unknown>;
            const result = await run(...args);
            mostBytes = Math.max(mostBytes, directoryBytesSync(bench.directory));
            return result;
          }) as unknown as FileSystem[Call];
        const tier = await bench.open({
          maxSizeBytes,
          fileSystem: fileSystemWith({
            write: watched("write"),
            rename: watched("rename"),
            unlink: watched("unlink"),
          }),
        });
        await tier.adopted;
        const specs = promptChunks(1, sizes.length);
        for (const [index, numPages] of sizes.entries()) {
          using buffer = bench.pool.tryAllocate(numPages * PAGE_BYTES)!;
          await tier.store([{ key: specs[index]!.key, parent: undefined, buffer }]);
          if (index % 9 === 0) await tier.remove([specs[index >> 1]!.key]);
        }
        await tier.flush();
        expect(mostBytes).toBeLessThanOrEqual(maxSizeBytes);
        expect(tier.stats().usedBytes).toBe(directoryBytesSync(bench.directory));
        expect((await bench.names()).filter((name) => name.endsWith(".tmp"))).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 25 });
  });

  test("a suffix is evicted before its prefix, a held chunk never", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open({ maxSizeBytes: 12 * FILE_BYTES });
    const [held, old] = [promptChunks(1, 4), promptChunks(2, 8)];
    await bench.put(tier, held);
    await bench.put(tier, old);
    using lease = await tier.acquire(keysOf(held));
    await bench.put(tier, promptChunks(3, 6));
    expect(await tier.lookup(lease.keys)).toBe(4);
    expect(await tier.lookup(keysOf(old))).toBe(2);
    expect(await tier.lookup(keysOf(promptChunks(3, 6)))).toBe(6);
  });

  test("a prompt larger than the disk keeps its prefix", async () => {
    await using bench = await DiskBench.make();
    for (const policy of ["LRU", "MRU", "FIFO", "LFU"]) {
      const tier = await bench.open({
        paths: [path.join(bench.root, policy)],
        maxSizeBytes: 5 * FILE_BYTES,
        policy: createPolicy(policy),
        numIoThreads: 1,
      });
      await bench.put(tier, promptChunks(1, 9));
      expect(await take(tier, keysOf(promptChunks(1, 9)))).toBe(5);
      expect(tier.stats().numRefused).toBe(4);
    }
  });

  test("a chunk larger than the bound is refused", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open({ maxSizeBytes: FILE_BYTES - 1 });
    expect(await bench.put(tier, promptChunks(1, 1))).toBe(0);
    expect(await bench.names()).toEqual([]);
  });
});

describe("writing behind", () => {
  test("a chunk that is accepted is found and served before it is on disk", async () => {
    await using bench = await DiskBench.make();
    const gate = new Gate();
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        open: async (...args) => {
          await gate.opened;
          return await nodeFileSystem.open(...args);
        },
      }),
    });
    const specs = promptChunks(1, 6);
    expect(await storeChunks(tier, bench.pool, specs)).toBe(6);
    expect(await bench.names()).toEqual([]);
    expect(await take(tier, keysOf(specs))).toBe(6);
    gate.open();
    await tier.flush();
    expect(await bench.names()).toHaveLength(6);
  });

  test("what is in flight is bounded in bytes; more is refused and counted", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open({ maxInFlightBytes: 4 * FILE_BYTES });
    const refused: number[] = [];
    const unsubscribe = subscribe("warmkv:cache:refused", (event) => refused.push(event.numChunks));
    expect(await storeChunks(tier, bench.pool, promptChunks(1, 10))).toBe(4);
    await tier.flush();
    unsubscribe();
    expect(refused).toEqual([6]);
    expect(tier.stats()).toMatchObject({ numStored: 4, numRefused: 6 });
  });

  test("a removed chunk that was being written does not come back", async () => {
    await using bench = await DiskBench.make();
    const gate = new Gate();
    for (const call of ["write", "rename"] as const) {
      const tier = await bench.open({
        fileSystem: fileSystemWith({
          [call]: async (...args: never[]) => {
            await gate.opened;
            return await (nodeFileSystem[call] as (...args: never[]) => Promise<unknown>)(...args);
          },
        }),
      });
      const specs = promptChunks(1, 2);
      await storeChunks(tier, bench.pool, specs);
      await new Promise(setImmediate);
      const removing = tier.remove(keysOf(specs));
      gate.open();
      expect(await removing).toBe(2);
      expect(await tier.lookup(keysOf(specs))).toBe(0);
      expect(await bench.names()).toEqual([]);
    }
  });

  test("closing writes what was accepted", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open();
    await storeChunks(tier, bench.pool, promptChunks(1, 8));
    await tier[Symbol.asyncDispose]();
    expect(await bench.names()).toHaveLength(8);
  });
});

describe("loading", () => {
  test("reads a few chunks ahead, and no more than the pool has slabs for", async () => {
    await using bench = await DiskBench.make();
    const tier = await bench.open({ numIoThreads: 2 });
    const keys = keysOf(promptChunks(1, 12));
    await bench.put(tier, promptChunks(1, 12));
    using lease = await tier.acquire(keys);
    let mostSlabs = 0;
    for await (using _ of lease.load(0, new AbortController().signal)) {
      await new Promise(setImmediate);
      mostSlabs = Math.max(mostSlabs, bench.pool.usedBytes / SLAB_BYTES);
    }
    expect(mostSlabs).toBe(2);
  });

  test("a pool without a free slab is a short load, not a wait", async () => {
    await using bench = await DiskBench.make();
    const writer = await bench.open();
    await bench.put(writer, promptChunks(1, 8));
    const pool = makePool(3);
    const tier = await bench.open({ pool });
    using lease = await tier.acquire(keysOf(promptChunks(1, 8)));
    const kept = [];
    for await (const buffer of lease.load(0, new AbortController().signal)) kept.push(buffer);
    expect(kept).toHaveLength(3);
    for (const buffer of kept) buffer[Symbol.dispose]();
    expect(await take(tier, keysOf(promptChunks(1, 8)))).toBe(8);
    pool.assertAllFree();
  });

  test("a disk that hangs does not hang who gives up waiting", async () => {
    await using bench = await DiskBench.make();
    const gate = new Gate();
    const tier = await bench.open({
      fileSystem: fileSystemWith({
        read: async (...args) => {
          await gate.opened;
          return await nodeFileSystem.read(...args);
        },
      }),
    });
    await bench.put(tier, promptChunks(1, 2));
    using lease = await tier.acquire(keysOf(promptChunks(1, 2)));
    const abort = new AbortController();
    const next = lease.load(0, abort.signal).next();
    abort.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    gate.open();
  });
});

describe("O_DIRECT", () => {
  test("where it is refused the page cache is used, with one warning", async () => {
    await using bench = await DiskBench.make();
    const warnings: string[] = [];
    const tier = await bench.open({
      useOdirect: true,
      logger: { ...silentLogger, warn: (message) => void warnings.push(message) },
      fileSystem: fileSystemWith({
        open: async (file, flags) => {
          if (flags & constants.O_DIRECT) throw systemError("EINVAL");
          return await nodeFileSystem.open(file, flags);
        },
      }),
    });
    await bench.put(tier, promptChunks(1, 8));
    expect(await take(tier, keysOf(promptChunks(1, 8)))).toBe(8);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("O_DIRECT");
  });
});

function directoryBytesSync(directory: string): number {
  const sizeOf = (name: string): number =>
    statSync(path.join(directory, name), { throwIfNoEntry: false })?.size ?? 0;
  return readdirSync(directory).reduce((sum, name) => sum + sizeOf(name), 0);
}
