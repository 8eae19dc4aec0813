import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { silentLogger, subscribe, TierError } from "../../../src/core/index.ts";
import type { MemoryPool } from "../../../src/memory/index.ts";
import { type Lease, RemoteTier } from "../../../src/tiers/index.ts";
import {
  isIntactChunk,
  keysOf,
  makePool,
  promptChunks,
  SLAB_BYTES,
  storeChunks,
} from "../tiers/chunk-fixtures.ts";
import { ScriptedStore } from "./scripted-store.ts";

const never = new AbortController().signal;
const specs = promptChunks(1, 8);
const keys = keysOf(specs);

let pool: MemoryPool;
let store: ScriptedStore;
let tier: RemoteTier;
let log: string[];

beforeEach(() => {
  pool = makePool(32);
  store = new ScriptedStore();
  tier = open();
});
afterEach(async () => {
  vi.useRealTimers();
  await tier[Symbol.asyncDispose]();
  expect(store.isClosed).toBe(true);
  pool.assertAllFree();
});

function open(
  options: { maxInFlightBytes?: number; maxChunkBytes?: number; modelName?: string } = {},
): RemoteTier {
  log = [];
  const note = (message: string): void => void log.push(message);
  const logger = { ...silentLogger, warn: note, info: note };
  const random = (): number => 0.5;
  return new RemoteTier({
    store,
    pool,
    modelName: "org/model",
    timeoutMs: 5_000,
    logger,
    random,
    ...options,
  });
}

async function put(chunks = specs): Promise<void> {
  await storeChunks(tier, pool, chunks);
  await tier.flush();
}

async function take(lease: Lease, signal = never): Promise<number> {
  let numTaken = 0;
  for await (using buffer of lease.load(0, signal)) {
    expect(isIntactChunk(buffer, lease.keys[numTaken]!)).toBe(true);
    numTaken++;
  }
  return numTaken;
}

describe("names", () => {
  test("follow LMCache's grammar and keep to 150 bytes", async () => {
    await put(specs.slice(0, 1));
    expect([...store.values.keys()]).toEqual([`warmkv@org-model@1@0@${keys[0]}`]);
    await using long = open({ modelName: "a/../b c".repeat(100) });
    await storeChunks(long, pool, specs.slice(1, 2));
    await long.flush();
    const name = [...store.values.keys()].at(-1)!;
    expect(name.length).toBeLessThanOrEqual(150);
    expect(name).toMatch(/^[\w.@~-]+$/);
    expect(name.endsWith(`@${keys[1]}`)).toBe(true);
  });
});

describe("lookups", () => {
  test("ask the store once for a whole prompt, however much of it is still being put", async () => {
    const release = store.hang("put");
    await storeChunks(tier, pool, specs.slice(0, 3));
    expect(await tier.lookup(keys)).toBe(3);
    expect(store.numCalls("lookup")).toBe(1);
    release();
    await tier.flush();
    expect(await tier.lookup(keys)).toBe(3);
    expect(store.numCalls("lookup")).toBe(2);
  });

  test("find what others have put since, and not what they have evicted", async () => {
    await put();
    store.values.delete([...store.values.keys()][2]!);
    expect(await tier.lookup(keys)).toBe(2);
    await put();
    expect(await tier.lookup(keys)).toBe(8);
  });
});

describe("fetches", () => {
  test("a chunk is fetched once, however many requests want it at the same time", async () => {
    await put();
    const leases = await Promise.all([1, 2, 3, 4].map(() => tier.acquire(keys)));
    expect(await Promise.all(leases.map((lease) => take(lease)))).toEqual([8, 8, 8, 8]);
    expect(store.numCalls("get")).toBe(8);
    for (const lease of leases) lease[Symbol.dispose]();
  });

  test("a request that comes to its chunks later finds those of the one before it", async () => {
    await put();
    using first = await tier.acquire(keys);
    using second = await tier.acquire(keys);
    expect(await take(first)).toBe(8);
    expect(await take(second)).toBe(8);
    expect(store.numCalls("get")).toBe(8);
  });

  test("a prefetch says that it is one, and has two chunks under way at a time", async () => {
    await put();
    const priorities: string[] = [];
    store.before = async (verb, call) => {
      if (verb === "get") priorities.push(call.priority);
    };
    using lease = await tier.acquire(keys);
    let numLoaded = 0;
    for await (using _ of lease.load(0, never, "prefetch")) {
      if (++numLoaded === 4) break;
    }
    expect(await take(lease)).toBe(8);
    expect(store.maxRunning.get).toBeGreaterThan(2);
    const numPrefetched = priorities.lastIndexOf("prefetch") + 1;
    expect(numPrefetched).toBeLessThanOrEqual(6);
    expect(priorities.slice(0, numPrefetched)).toEqual(
      Array.from({ length: numPrefetched }, () => "prefetch"),
    );
    expect(priorities.slice(numPrefetched)).not.toContain("prefetch");
  });

  test("what is kept for others gives way when the pool is full", async () => {
    await put();
    using first = await tier.acquire(keys);
    using second = await tier.acquire(keys);
    await take(first);
    expect(pool.numFreeSlabs).toBeLessThan(pool.numSlabs);
    const buffers = Array.from({ length: pool.numSlabs }, () => pool.tryAllocate(SLAB_BYTES));
    expect(buffers).not.toContain(undefined);
    for (const buffer of buffers) buffer![Symbol.dispose]();
    expect(await take(second)).toBe(8);
  });

  test("one that gives up does not take the chunk from the others", async () => {
    await put(specs.slice(0, 1));
    const release = store.hang("get");
    using first = await tier.acquire(keys.slice(0, 1));
    using second = await tier.acquire(keys.slice(0, 1));
    const abort = new AbortController();
    const loads = [take(first, abort.signal), take(second)];
    await vi.waitFor(() => expect(store.numRunning.get).toBe(1));
    abort.abort();
    release();
    expect(await Promise.all(loads)).toEqual([0, 1]);
  });

  test("when the last one gives up the fetch ends, and the next one starts anew", async () => {
    await put(specs.slice(0, 1));
    store.hang("get");
    using lease = await tier.acquire(keys.slice(0, 1));
    const abort = new AbortController();
    const load = take(lease, abort.signal);
    await vi.waitFor(() => expect(store.numRunning.get).toBe(1));
    abort.abort();
    store.before = async () => {};
    expect(await load).toBe(0);
    expect(await take(lease)).toBe(1);
    expect(log).toEqual([]);
  });

  test("go on with a pool that has no room for all of them at once", async () => {
    await put();
    using _ = holdSlabs(pool.numSlabs - 2);
    using lease = await tier.acquire(keys);
    expect(await take(lease)).toBe(8);
  });

  test("a pool without a slab is a short load", async () => {
    await put();
    using lease = await tier.acquire(keys);
    using _ = holdSlabs(pool.numSlabs);
    expect(await take(lease)).toBe(0);
  });

  test.each([
    ["close together are handed over together", 1, [4, 4, 4, 4, 8, 8, 8, 8]],
    ["one by one hardly wait for each other", 100, [103, 203, 303, 403, 503, 603, 703, 800]],
  ])("chunks that come %s", async (_, intervalMs, wanted) => {
    await put();
    using lease = await tier.acquire(keys);
    vi.useFakeTimers();
    let numGets = 0;
    store.before = () => new Promise((resolve) => setTimeout(resolve, ++numGets * intervalMs));
    const startedMs = Date.now();
    const timesMs: number[] = [];
    const loading = (async () => {
      for await (using _buffer of lease.load(0, never)) timesMs.push(Date.now() - startedMs);
    })();
    await vi.advanceTimersByTimeAsync(1_000);
    await loading;
    expect(timesMs).toEqual(wanted);
  });

  test("a chunk that has gone since ends the load and is put again", async () => {
    await put();
    using lease = await tier.acquire(keys);
    store.values.delete([...store.values.keys()][2]!);
    expect(await take(lease)).toBe(2);
    await put();
    expect(await tier.lookup(keys)).toBe(8);
  });

  test.each([
    ["of another chunk", (values: Uint8Array[]) => values[1]!],
    ["cut off", (values: Uint8Array[]) => values[0]!.subarray(0, 5000)],
    ["without a header", () => new Uint8Array(6000)],
    ["too short for a header", () => new Uint8Array(3)],
    ["empty", () => new Uint8Array(0)],
    ["larger than any chunk", () => new Uint8Array(SLAB_BYTES + 1)],
  ])("bytes %s are a miss, removed and counted", async (_, damage) => {
    await put();
    const [name] = [...store.values.keys()];
    store.values.set(name!, damage([...store.values.values()]));
    const reasons: string[] = [];
    const unsubscribe = subscribe(
      "warmkv:cache:damaged",
      ({ reason }) => void reasons.push(reason),
    );
    using lease = await tier.acquire(keys);
    expect(await take(lease)).toBe(0);
    unsubscribe();
    expect(reasons).toHaveLength(1);
    expect(tier.stats().numDamaged).toBe(1);
    await vi.waitFor(() => expect(store.values.has(name!)).toBe(false));
    await put();
    expect(await tier.lookup(keys)).toBe(8);
  });
});

describe("a part longer than a slab", () => {
  const NUM_SLABS = 5;
  const [first, second] = specs;
  const long = { ...second!, payloadBytes: (NUM_SLABS - 1) * SLAB_BYTES };
  const maxChunkBytes = NUM_SLABS * SLAB_BYTES;

  test("is read into as many as it takes", async () => {
    await put([first!, long]);
    await using other = open({ maxChunkBytes });
    using lease = await other.acquire(keys.slice(0, 2));
    expect(await take(lease)).toBe(2);
    expect(pool.usedBytes).toBe(0);
  });

  test("stays where it is when the pool has no room for it", async () => {
    await put([first!, long]);
    await using other = open({ maxChunkBytes });
    using lease = await other.acquire(keys.slice(0, 2));
    {
      using _ = holdSlabs(pool.numSlabs - NUM_SLABS);
      using _one = holdSlabs(1);
      expect(await take(lease)).toBe(1);
    }
    expect(other.stats().numDamaged).toBe(0);
    expect(await take(lease)).toBe(2);
  });
});

describe("puts", () => {
  test("keep to their bytes in flight: what is beyond is dropped and counted", async () => {
    await using small = open({ maxInFlightBytes: 3 * SLAB_BYTES });
    const release = store.hang("put");
    expect(await storeChunks(small, pool, specs)).toBe(3);
    expect(small.stats().numRefused).toBe(5);
    expect(pool.numSlabs - pool.numFreeSlabs).toBe(3);
    release();
    await small.flush();
    expect(pool.numFreeSlabs).toBe(pool.numSlabs);
    expect(await storeChunks(small, pool, specs.slice(0, 5))).toBe(5);
  });

  test("are two at a time, so that others have connections", async () => {
    await put();
    expect(store.maxRunning.put).toBe(2);
  });

  test("are served from memory while they are under way", async () => {
    const release = store.hang("put");
    await storeChunks(tier, pool, specs);
    using lease = await tier.acquire(keys);
    expect(await take(lease)).toBe(8);
    expect(store.numCalls("get")).toBe(0);
    release();
  });

  test("are not repeated for what is known to be there", async () => {
    await put();
    await put();
    expect(store.numCalls("put")).toBe(8);
  });

  test("are given up when the chunk is removed meanwhile", async () => {
    const release = store.hang("put");
    await storeChunks(tier, pool, specs);
    const removing = tier.remove(keys);
    release();
    expect(await removing).toBe(8);
    expect(store.values.size).toBe(0);
  });

  test("that the store refuses are counted", async () => {
    store.put = async () => false;
    await put();
    expect(tier.stats()).toMatchObject({ numStored: 0, numRefused: 8, numChunks: 0 });
  });
});

describe("a store that fails", () => {
  test.each(["unavailable", "timeout", "protocol", "unauthorized"] as const)(
    "%s: one failed call, then nothing waits for it until it works again",
    async (code) => {
      vi.useFakeTimers();
      await put();
      store.fail(code);
      expect(await tier.lookup(keys)).toBe(0);
      expect(log).toEqual(["RemoteBackend scripted://: It was asked to fail. Going on without it"]);
      expect(tier.isUp).toBe(false);
      const numCalls = store.calls.length;
      expect(await tier.lookup(keys)).toBe(0);
      using lease = await tier.acquire(keys);
      expect(lease.keys).toEqual([]);
      expect(await storeChunks(tier, pool, specs.slice(0, 1))).toBe(1);
      expect(await storeChunks(tier, pool, promptChunks(2, 1))).toBe(0);
      expect(await tier.remove(keys.slice(0, 1))).toBe(0);
      expect(store.calls.length).toBe(numCalls);
      store.before = async () => {};
      await vi.advanceTimersByTimeAsync(250);
      expect(log.at(-1)).toBe("RemoteBackend scripted://: works again");
      expect(tier.isUp).toBe(true);
      expect(await tier.lookup(keys)).toBe(8);
    },
  );

  test("is asked less and less often, 10 s apart at most", async () => {
    vi.useFakeTimers();
    store.fail("unavailable");
    await tier.lookup(keys);
    const times: number[] = [];
    for (let second = 0; second < 60; second++) {
      const numBefore = store.calls.length;
      await vi.advanceTimersByTimeAsync(1_000);
      if (store.calls.length > numBefore) times.push(second);
    }
    expect(times.length).toBeLessThan(14);
    expect(times.at(-1)! - times.at(-2)!).toBeLessThanOrEqual(10);
    expect(log).toHaveLength(1);
  });

  test("that does not answer a lookup is not waited for longer than 2 s", async () => {
    vi.useFakeTimers();
    store.hang("lookup");
    const looking = tier.lookup(keys);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await looking).toBe(0);
    expect(log[0]).toContain("No answer within 2000 ms");
  });

  test("that does not answer a get is not waited for beyond its time, nor longer than the signal", async () => {
    vi.useFakeTimers();
    await put();
    using lease = await tier.acquire(keys);
    store.hang("get");
    const abort = new AbortController();
    const aborted = take(lease, abort.signal);
    await vi.advanceTimersByTimeAsync(100);
    abort.abort();
    expect(await aborted).toBe(0);
    expect(log).toEqual([]);
    const waiting = take(lease);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(await waiting).toBe(0);
    expect(log[0]).toContain("No answer within 5000 ms");
  });

  test("in the middle of a load leaves what came before", async () => {
    await put();
    using lease = await tier.acquire(keys);
    let numGets = 0;
    store.before = async (verb) => {
      if (verb === "get" && ++numGets > 4)
        throw new TierError("scripted://", "protocol", "Nonsense");
    };
    expect(await take(lease)).toBe(4);
  });

  test("does not keep the tier from closing, nor the pool from getting its slabs back", async () => {
    vi.useFakeTimers();
    store.hang("put");
    await storeChunks(tier, pool, specs);
    const closing = tier[Symbol.asyncDispose]();
    await vi.advanceTimersByTimeAsync(10_000);
    await closing;
    pool.assertAllFree();
  });
});

function holdSlabs(numSlabs: number): Disposable {
  const buffers = Array.from({ length: numSlabs }, () => pool.tryAllocate(SLAB_BYTES)!);
  return {
    [Symbol.dispose]() {
      for (const buffer of buffers) buffer[Symbol.dispose]();
    },
  };
}
