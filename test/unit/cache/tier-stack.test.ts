import { afterEach, describe, expect, test, vi } from "vitest";
import { TierStack, type TierStackOptions } from "../../../src/cache/index.ts";
import { silentLogger, subscribe, systemClock } from "../../../src/core/index.ts";
import { CpuTier, type Lease, LruPolicy } from "../../../src/tiers/index.ts";
import {
  SLAB_BYTES,
  isIntactChunk,
  keysOf,
  makePool,
  promptChunks,
  storeChunks,
} from "../tiers/chunk-fixtures.ts";
import { tierConformance } from "../tiers/conformance.ts";
import { CopyTier, ManualClock } from "./cache-fixtures.ts";

tierConformance(
  "TierStack",
  async (pool) => {
    const open = (numSlabs: number): CpuTier =>
      new CpuTier({ pool, policy: new LruPolicy(), capacityBytes: numSlabs * SLAB_BYTES });
    const hotTier = open(20);
    const tiers = [hotTier, open(160)];
    return {
      tier: new TierStack({ tiers, hotTier, clock: systemClock, logger: silentLogger }),
    };
  },
  { hasCopies: true },
);

describe("TierStack", () => {
  const never = new AbortController().signal;
  const specs = promptChunks(1, 12);
  const keys = keysOf(specs);
  const clock = new ManualClock();
  let pool = makePool(64);
  let cpu: CpuTier;
  let disk: CopyTier;
  let remote: CopyTier;
  let stack: TierStack;

  function open(options: Partial<TierStackOptions> = {}, capacitySlabs = 32): TierStack {
    pool = makePool(64);
    const capacityBytes = capacitySlabs * SLAB_BYTES;
    cpu = new CpuTier({ pool, policy: new LruPolicy(), capacityBytes });
    disk = new CopyTier(pool, "LocalDiskBackend");
    remote = new CopyTier(pool, "RemoteBackend");
    const tiers = [cpu, disk, remote];
    return (stack = new TierStack({
      tiers,
      hotTier: cpu,
      clock,
      logger: silentLogger,
      ...options,
    }));
  }

  afterEach(async () => {
    vi.useRealTimers();
    await stack[Symbol.asyncDispose]();
    pool.assertAllFree();
    expect([disk.numLeases, remote.numLeases]).toEqual([0, 0]);
  });

  async function take(lease: Lease, from = 0, signal = never): Promise<number> {
    let index = from;
    for await (using buffer of lease.load(from, signal)) {
      expect(isIntactChunk(buffer, lease.keys[index]!)).toBe(true);
      index++;
    }
    return index - from;
  }

  test("finds a prompt that is split over tiers, however often it changes between them", async () => {
    open();
    await storeChunks(cpu, pool, [...specs.slice(0, 2), ...specs.slice(5, 6)]);
    await storeChunks(disk, pool, [...specs.slice(2, 5), ...specs.slice(8, 9)]);
    await storeChunks(remote, pool, specs.slice(4, 8));
    expect(await stack.lookup(keys)).toBe(9);
    using lease = await stack.acquire(keys);
    expect(lease.keys).toEqual(keys.slice(0, 9));
    expect(lease.parts.map((part) => [part.guard.tier.name, part.lease.keys.length])).toEqual([
      ["LocalCPUBackend", 2],
      ["LocalDiskBackend", 3],
      ["RemoteBackend", 3],
      ["LocalDiskBackend", 1],
    ]);
    expect(lease.tierAt(4)).toBe("LocalDiskBackend");
    expect(lease.tierAt(5)).toBe("RemoteBackend");
    expect(await take(lease)).toBe(9);
    expect(await take(lease, 6)).toBe(3);
  });

  test("a hole in all tiers ends the prefix", async () => {
    open();
    await storeChunks(cpu, pool, specs.slice(0, 2));
    await storeChunks(disk, pool, specs.slice(3));
    expect(await stack.lookup(keys)).toBe(2);
  });

  test("store() writes to every tier; the caller may let go at once", async () => {
    open();
    expect(await storeChunks(stack, pool, specs)).toBe(12);
    expect(await stack.lookupEach(keys)).toEqual(
      new Map([
        ["LocalCPUBackend", 12],
        ["LocalDiskBackend", 12],
        ["RemoteBackend", 12],
      ]),
    );
    expect(pool.usedBytes).toBe(12 * SLAB_BYTES);
  });

  test("a store_location is the only tier written, retrieve_locations are the only ones asked", async () => {
    open({ storeLocation: "LocalDiskBackend", retrieveLocations: ["LocalCPUBackend"] });
    expect(await storeChunks(stack, pool, specs)).toBe(12);
    expect(await disk.lookup(keys)).toBe(12);
    expect(await cpu.lookup(keys)).toBe(0);
    expect(await stack.lookup(keys)).toBe(0);
  });

  test("a location that is no tier is refused with the names there are", () => {
    open();
    const make = (options: Partial<TierStackOptions>): TierStack =>
      new TierStack({ tiers: [cpu], clock, logger: silentLogger, ...options });
    expect(() => make({ storeLocation: "Moon" })).toThrow(
      'Cannot use store_location "Moon": wanted one of the tiers in use: LocalCPUBackend',
    );
    expect(() => make({ retrieveLocations: ["LocalDiskBackend"] })).toThrow(/retrieve_locations/);
  });

  test("what is loaded from a lower tier is promoted into the hot tier", async () => {
    open();
    await storeChunks(disk, pool, specs);
    using lease = await stack.acquire(keys);
    expect(await take(lease)).toBe(12);
    expect(await cpu.lookup(keys)).toBe(12);
    expect(await remote.lookup(keys)).toBe(0);
  });

  test("nothing is promoted without a hot tier, or when that is not asked", async () => {
    for (const options of [{ hotTier: undefined }, { retrieveLocations: ["LocalDiskBackend"] }]) {
      open(options);
      await storeChunks(disk, pool, specs);
      using lease = await stack.acquire(keys);
      expect(await take(lease)).toBe(12);
      expect(await cpu.lookup(keys)).toBe(0);
      pool.assertAllFree();
    }
  });

  test("one load fills half of the hot tier at most, so that a prompt keeps its beginning", async () => {
    open({}, 8);
    await storeChunks(disk, pool, specs);
    using lease = await stack.acquire(keys);
    expect(await take(lease)).toBe(12);
    expect(await cpu.lookup(keys)).toBe(4);
  });

  test("the tier below begins to read while the hot tier's chunks are being used", async () => {
    open();
    await storeChunks(cpu, pool, specs.slice(0, 6));
    await storeChunks(disk, pool, specs.slice(6));
    using lease = await stack.acquire(keys);
    for await (using _ of lease.load(0, never)) {
      await expect.poll(() => disk.numLoaded).toBe(1);
      break;
    }
    expect(pool.usedBytes).toBe(6 * SLAB_BYTES);
  });

  test("remove() reaches every tier", async () => {
    open();
    await storeChunks(stack, pool, specs);
    expect(await stack.remove(keys.slice(4))).toBe(8);
    expect(new Set((await stack.lookupEach(keys)).values())).toEqual(new Set([4]));
  });

  test("a broken tier counts as empty, is reported once and left alone for a while", async () => {
    open({ backOffMs: 10_000 });
    await storeChunks(disk, pool, specs);
    await storeChunks(remote, pool, specs);
    const failed: unknown[] = [];
    const end = subscribe("warmkv:tier:failed", (event) => failed.push(event));
    disk.failure = "unavailable";
    expect(await stack.lookup(keys)).toBe(12);
    using lease = await stack.acquire(keys);
    expect(lease.tierAt(0)).toBe("RemoteBackend");
    expect(await storeChunks(stack, pool, specs)).toBe(12);
    expect(failed).toEqual([{ tier: "LocalDiskBackend", code: "unavailable" }]);
    const isUp = (): unknown[] => [...stack.statusEach().values()].map((status) => status.isUp);
    expect(isUp()).toEqual([true, false, true]);

    disk.failure = undefined;
    await remote.clear();
    await cpu.clear();
    clock.ms += 9999;
    expect(await stack.lookup(keys)).toBe(0);
    clock.ms += 1;
    expect(isUp()).toEqual([true, true, true]);
    expect(await stack.lookup(keys)).toBe(12);
    end();
  });

  test("a tier that breaks while it loads ends the load short", async () => {
    open();
    await storeChunks(disk, pool, specs);
    using lease = await stack.acquire(keys);
    let numTaken = 0;
    for await (using _ of lease.load(0, never)) if (++numTaken === 5) disk.failure = "timeout";
    expect(numTaken).toBe(5);
    disk.failure = undefined;
    expect(await stack.lookup(keys)).toBe(5);
  });

  test("a bug in a tier is thrown, not hidden", async () => {
    open();
    disk.lookup = () => Promise.reject(new Error("bug"));
    await expect(stack.lookup(keys)).rejects.toThrow("bug");
  });

  test("a tier that does not answer in time is a miss, and its late lease is given back", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    open({ timeoutMs: 3000 });
    await storeChunks(disk, pool, specs);
    let open_!: () => void;
    disk.gate = new Promise((resolve) => {
      open_ = resolve;
    });
    const acquiring = stack.acquire(keys);
    await vi.advanceTimersByTimeAsync(3000);
    using lease = await acquiring;
    expect(lease.keys).toEqual([]);
    open_();
    await vi.waitFor(() => expect(disk.numLeases).toBe(0));
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a tier that hangs while it loads does not outlast an abort", async () => {
    open();
    await storeChunks(disk, pool, specs);
    using lease = await stack.acquire(keys);
    const abort = new AbortController();
    let open_!: () => void;
    let numTaken = 0;
    for await (using _ of lease.load(0, abort.signal)) {
      if (++numTaken < 3) continue;
      disk.gate = new Promise((resolve) => {
        open_ = resolve;
      });
      setTimeout(() => abort.abort(), 1);
    }
    expect(numTaken).toBe(3);
    open_();
  });

  test("what is on its way into a slow tier is bounded; the rest is dropped and counted", async () => {
    open({ maxStoringBytes: 20 * SLAB_BYTES, storeLocation: "LocalDiskBackend" });
    let open_!: () => void;
    disk.gate = new Promise((resolve) => {
      open_ = resolve;
    });
    const storing = [1, 2, 3].map((seed) => storeChunks(stack, pool, promptChunks(seed, 10)));
    open_();
    expect(await Promise.all(storing)).toEqual([10, 10, 0]);
    expect(disk.chunks.size).toBe(20);
    expect(stack.stats().numRefused).toBe(10);
    expect(await storeChunks(stack, pool, promptChunks(4, 30))).toBe(30);
  });

  test("clear() and flush() wait for a slow tier and go on without a broken one", async () => {
    open();
    await storeChunks(stack, pool, specs);
    remote.failure = "unavailable";
    await stack.flush();
    expect(await stack.clear()).toBe(24);
    remote.failure = undefined;
  });

  test("a stack of no tiers has nothing", async () => {
    open();
    await using empty = new TierStack({ tiers: [], clock, logger: silentLogger });
    expect(await empty.lookup(keys)).toBe(0);
    expect(await storeChunks(empty, pool, specs)).toBe(0);
    expect((await empty.acquire(keys)).keys).toEqual([]);
    expect(empty.stats().numChunks).toBe(0);
  });
});
