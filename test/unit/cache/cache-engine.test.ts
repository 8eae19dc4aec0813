import { setImmediate as nextTurn } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import type { CacheMatch, LoadedChunk } from "../../../src/cache/index.ts";
import { subscribe } from "../../../src/core/index.ts";
import {
  type CacheFixture,
  type CacheFixtureOptions,
  CopyTier,
  makeCache,
  makeTokens,
  storePrompt,
} from "./cache-fixtures.ts";

const never = new AbortController().signal;
let fixture: CacheFixture;

function open(options?: CacheFixtureOptions): CacheFixture {
  fixture = makeCache(options);
  return fixture;
}

afterEach(async () => {
  await fixture.cache[Symbol.asyncDispose]();
  fixture.pool.assertAllFree();
});

async function chunksOf(match: CacheMatch, from = 0): Promise<[number, number][]> {
  const ranges: [number, number][] = [];
  for await (const chunk of fixture.cache.load(match, from, never)) {
    ranges.push([chunk.start, chunk.end]);
    chunk.buffer[Symbol.dispose]();
  }
  return ranges;
}

async function numStored(tokens: Int32Array, scope = {}): Promise<number> {
  using match = await fixture.cache.lookup(tokens, scope);
  return match.numTokens;
}

describe("CacheEngine", () => {
  test.each([
    [0, 0],
    [1, 0],
    [2, 2],
    [255, 255],
    [256, 256],
    [257, 256],
    [258, 258],
    [1023, 1023],
    [1024, 1024],
    [1025, 1024],
  ])("of %d tokens stored, lookup() finds %d", async (numTokens, numFound) => {
    open();
    const tokens = makeTokens(numTokens);
    expect(await storePrompt(fixture, tokens)).toBe(numFound);
    expect(await numStored(tokens)).toBe(numFound);
  });

  test("lookup() of a longer prompt finds the chunks it shares, the partial one but for its last token", async () => {
    open();
    const tokens = makeTokens(1500);
    await storePrompt(fixture, tokens.subarray(0, 1100));
    expect(await numStored(tokens)).toBe(1099);
    expect(await numStored(tokens.subarray(0, 1100))).toBe(1100);
    expect(await numStored(tokens.subarray(0, 1099))).toBe(1024);
    const turn = tokens.slice();
    turn[1050] = 1;
    expect(await numStored(turn)).toBe(1024);
    expect(await numStored(tokens.subarray(0, 700))).toBe(512);
    const other = tokens.slice();
    other[600] = 1;
    expect(await numStored(other)).toBe(512);
  });

  test("prompts under different salts or tags share nothing", async () => {
    open();
    const tokens = makeTokens(600);
    await storePrompt(fixture, tokens, { salt: "a" });
    expect(await numStored(tokens, { salt: "a" })).toBe(600);
    for (const scope of [
      {},
      { salt: "b" },
      { salt: "a", tags: { user: "x" } },
      { salt: '["a"]' },
    ]) {
      expect(await numStored(tokens, scope)).toBe(0);
    }
  });

  test("the order of tags does not matter", async () => {
    open();
    const tokens = makeTokens(300);
    await storePrompt(fixture, tokens, { tags: { a: "1", b: "2" } });
    expect(await numStored(tokens, { tags: { b: "2", a: "1" } })).toBe(300);
  });

  test("load() begins with the chunk that holds the token asked for", async () => {
    open();
    const tokens = makeTokens(600);
    await storePrompt(fixture, tokens);
    using match = await fixture.cache.lookup(tokens);
    expect(await chunksOf(match)).toEqual([
      [0, 256],
      [256, 512],
      [512, 600],
    ]);
    expect(await chunksOf(match, 255)).toHaveLength(3);
    expect(await chunksOf(match, 256)).toHaveLength(2);
    expect(await chunksOf(match, 599)).toEqual([[512, 600]]);
    expect(await chunksOf(match, 600)).toEqual([]);
  });

  test("reserve() takes as many leading chunks as there is room for, and counts the rest", async () => {
    open({ numSlabs: 3 });
    const refused: number[] = [];
    const end = subscribe("warmkv:cache:refused", (event) => refused.push(event.numChunks));
    {
      using reservation = fixture.cache.reserve(makeTokens(5 * 256), { from: 256 });
      expect(reservation.chunks.map((chunk) => chunk.start)).toEqual([256, 512, 768]);
      expect(reservation.numTokens).toBe(768);
    }
    end();
    expect(refused).toEqual([1]);
  });

  test("store() keeps what was written before the first chunk that was not", async () => {
    open();
    const tokens = makeTokens(4 * 256);
    const reservation = fixture.cache.reserve(tokens, { from: 0 });
    const [a, b, , d] = reservation.chunks.map((chunk) => chunk.payload.byteLength);
    expect(await fixture.cache.store(reservation, [a!, b!, 0, d!], "r")).toBe(512);
    expect(await numStored(tokens)).toBe(512);
    expect(fixture.log.lines).toContain(
      "Storing KV cache for 512 out of 1024 tokens for request r",
    );
  });

  test("says in the documented words that it was made", () => {
    open();
    expect(fixture.log.lines).toEqual(["Creating LMCacheEngine instance test"]);
  });

  test("publishes lookups and stores", async () => {
    open();
    const events: unknown[] = [];
    const ends = [
      subscribe("warmkv:cache:lookup", (event) => events.push(event)),
      subscribe("warmkv:cache:store", (event) => events.push(event)),
    ];
    const tokens = makeTokens(300);
    await storePrompt(fixture, tokens);
    await numStored(tokens);
    for (const end of ends) end();
    expect(events).toEqual([
      { numTokens: 300, numBytes: expect.any(Number), durationMs: 0 },
      { numTokens: 300, numHitTokens: 300, durationMs: 0 },
    ]);
  });
});

describe("CacheEngine.load() verifies:", () => {
  /** Stores two prompts of two chunks in a lower tier and forgets them in RAM. */
  async function openDamaged(): Promise<{ disk: CopyTier; tokens: Int32Array; keys: string[] }> {
    let disk!: CopyTier;
    open({ lowerTiers: (pool) => [(disk = new CopyTier(pool))] });
    const tokens = makeTokens(512);
    await storePrompt(fixture, tokens);
    await storePrompt(fixture, makeTokens(512, 2));
    await fixture.cpu!.clear();
    return { disk, tokens, keys: [...disk.chunks.keys()] };
  }

  async function expectDamage(
    disk: CopyTier,
    tokens: Int32Array,
    key: string,
    reason: string,
  ): Promise<void> {
    const damaged: unknown[] = [];
    const end = subscribe("warmkv:cache:damaged", (event) => damaged.push(event));
    {
      using match = await fixture.cache.lookup(tokens);
      expect(match.numTokens).toBe(512);
      expect(await chunksOf(match)).toEqual([[0, 256]]);
    }
    end();
    expect(damaged).toEqual([{ tier: "LocalDiskBackend", key, reason }]);
    expect(disk.chunks.has(key)).toBe(false);
    expect(await numStored(tokens)).toBe(256);
  }

  test("a chunk with a flipped bit in its payload is a miss and is removed from all tiers", async () => {
    const { disk, tokens, keys } = await openDamaged();
    disk.chunks.get(keys[1]!)![5000]! ^= 4;
    await expectDamage(disk, tokens, keys[1]!, "payload");
  });

  test("a chunk with a damaged header is a miss", async () => {
    const { disk, tokens, keys } = await openDamaged();
    disk.chunks.get(keys[1]!)![72]! ^= 1;
    await expectDamage(disk, tokens, keys[1]!, "header");
  });

  test("a chunk in another one's place is a miss", async () => {
    const { disk, tokens, keys } = await openDamaged();
    disk.chunks.set(keys[1]!, disk.chunks.get(keys[3]!)!);
    await expectDamage(disk, tokens, keys[1]!, "key");
  });

  test("a truncated chunk is a miss", async () => {
    const { disk, tokens, keys } = await openDamaged();
    disk.chunks.set(keys[1]!, disk.chunks.get(keys[1]!)!.slice(0, -1));
    await expectDamage(disk, tokens, keys[1]!, "payload");
  });
});

describe("CacheEngine.retrieve()", () => {
  async function openStored(numTokens = 1200): Promise<Int32Array> {
    open();
    const tokens = makeTokens(numTokens);
    await storePrompt(fixture, tokens);
    return tokens;
  }

  test("hands over chunks in order, logs in the documented words and gives the buffers back", async () => {
    const tokens = await openStored();
    const usedBytes = fixture.pool.usedBytes;
    using match = await fixture.cache.lookup(tokens);
    const ends: number[] = [];
    const consume = async (chunks: readonly LoadedChunk[]): Promise<number> => {
      ends.push(...chunks.map((chunk) => chunk.end));
      fixture.clock.ms += 10;
      return chunks.length;
    };
    const options = { from: 0, to: 1199, signal: never, requestId: "r1" };
    expect(await fixture.cache.retrieve(match, consume, options)).toBe(1200);
    expect(ends).toEqual([256, 512, 768, 1024, 1200]);
    expect(fixture.pool.usedBytes).toBe(usedBytes);
    expect(fixture.log.lines.at(-1)).toMatch(
      /^\[req_id=r1\] Retrieved 1199 out of 1199 tokens \(from 1200 total tokens\)\. size: 0\.\d{4} GB, cost \d+\.\d{4} ms, throughput: \d+\.\d{4} GB\/s$/,
    );
  });

  test("ends where the engine takes no more", async () => {
    const tokens = await openStored();
    using match = await fixture.cache.lookup(tokens);
    let numLeft = 2;
    const consume = async (chunks: readonly LoadedChunk[]): Promise<number> => {
      const num = Math.min(numLeft, chunks.length);
      numLeft -= num;
      return num;
    };
    const options = { from: 0, to: 1199, signal: never, requestId: "r" };
    expect(await fixture.cache.retrieve(match, consume, options)).toBe(512);
  });

  test("answers the boundary below `from` when the engine refuses the chunk that holds it", async () => {
    const tokens = await openStored();
    using match = await fixture.cache.lookup(tokens);
    const options = { from: 300, to: 1199, signal: never, requestId: "r" };
    expect(await fixture.cache.retrieve(match, async () => 0, options)).toBe(256);
  });

  test("answers `from` when nothing comes", async () => {
    const tokens = await openStored();
    using match = await fixture.cache.lookup(tokens);
    const options = { from: 300, to: 1199, signal: AbortSignal.abort(), requestId: "r" };
    expect(await fixture.cache.retrieve(match, async () => 9, options)).toBe(300);
  });

  test("gives everything back when the engine throws", async () => {
    const tokens = await openStored();
    const usedBytes = fixture.pool.usedBytes;
    using match = await fixture.cache.lookup(tokens);
    const consume = (): Promise<number> => Promise.reject(new Error("no engine"));
    const options = { from: 0, to: 1199, signal: never, requestId: "r" };
    await expect(fixture.cache.retrieve(match, consume, options)).rejects.toThrow("no engine");
    expect(fixture.pool.usedBytes).toBe(usedBytes);
  });
});

describe("CacheEngine, by hand:", () => {
  let disk: CopyTier;

  async function openStored(numTokens: number, numSlabs = 64): Promise<Int32Array> {
    open({ numSlabs, lowerTiers: (pool) => [(disk = new CopyTier(pool))] });
    const tokens = makeTokens(numTokens);
    await storePrompt(fixture, tokens);
    return tokens;
  }

  test("locate() tells how many tokens each tier has", async () => {
    const tokens = await openStored(600);
    await fixture.cpu!.remove([...disk.chunks.keys()].slice(1) as never[]);
    expect(await fixture.cache.locate(tokens)).toEqual({
      LocalCPUBackend: 256,
      LocalDiskBackend: 600,
    });
  });

  test("locate() counts the tail of a shorter prompt as a lookup does", async () => {
    const tokens = await openStored(600);
    const longer = Int32Array.from([...tokens, ...makeTokens(500, 2)]);
    expect(await fixture.cache.locate(longer)).toEqual({
      LocalCPUBackend: 599,
      LocalDiskBackend: 599,
    });
    using match = await fixture.cache.lookup(longer);
    expect(match.numTokens).toBe(599);
    match[Symbol.dispose]();
    await fixture.cpu!.remove([...disk.chunks.keys()].slice(2) as never[]);
    expect(await fixture.cache.locate(longer)).toEqual({
      LocalCPUBackend: 512,
      LocalDiskBackend: 599,
    });
  });

  test("prefetch() brings a prompt into RAM and leaves it below", async () => {
    const tokens = await openStored(1100);
    await fixture.cpu!.clear();
    expect(await fixture.cache.prefetch(tokens, never)).toBe(1100);
    expect(await fixture.cache.locate(tokens)).toEqual({
      LocalCPUBackend: 1100,
      LocalDiskBackend: 1100,
    });
    expect(disk.numLeases).toBe(0);
    expect(await fixture.cache.prefetch(tokens, never)).toBe(1100);
    expect(disk.numLoaded).toBe(5);
    expect(new Set(disk.priorities)).toEqual(new Set(["prefetch"]));
  });

  test("prefetch() and pin() of a longer prompt count what a lookup finds", async () => {
    const tokens = await openStored(600);
    const longer = Int32Array.from([...tokens, ...makeTokens(500, 2)]);
    await fixture.cpu!.clear();
    expect(await fixture.cache.prefetch(longer, never)).toBe(599);
    expect(await fixture.cpu!.clear()).toBe(3);
    expect(await fixture.cache.pin(longer)).toBe(599);
    using match = await fixture.cache.lookup(longer);
    expect(match.numTokens).toBe(599);
  });

  test("prefetch() stops at an abort and tells what is there", async () => {
    const tokens = await openStored(1100);
    await fixture.cpu!.clear();
    expect(await fixture.cache.prefetch(tokens, AbortSignal.abort())).toBe(0);
    expect(disk.numLoaded).toBe(0);
  });

  test("prefetch() turns prompts away when too many wait", async () => {
    const tokens = await openStored(300);
    const results = await Promise.all(
      Array.from({ length: 70 }, () => fixture.cache.prefetch(tokens, never)),
    );
    expect(results).toEqual([...Array(64).fill(300), ...Array(6).fill(0)]);
    expect(await fixture.cache.prefetch(tokens, never)).toBe(300);
  });

  test("closing ends what is being prefetched", async () => {
    const tokens = await openStored(1100);
    await fixture.cpu!.clear();
    const running = fixture.cache.prefetch(tokens, never);
    while (disk.numLoaded < 2) await nextTurn();
    const waiting = fixture.cache.prefetch(tokens, never);
    await fixture.cache[Symbol.asyncDispose]();
    await expect(running).rejects.toMatchObject({ code: "closed" });
    expect(await waiting).toBe(0);
    open();
  });

  test("a pinned prompt outlives pressure until it is unpinned", async () => {
    const tokens = await openStored(4 * 256, 12);
    expect(await fixture.cache.pin(tokens)).toBe(1024);
    expect(fixture.cache.stats().numPinnedChunks).toBe(4);
    for (let seed = 2; seed < 6; seed++) await storePrompt(fixture, makeTokens(8 * 256, seed));
    expect((await fixture.cache.locate(tokens))["LocalCPUBackend"]).toBe(1024);
    expect(fixture.cache.unpin(tokens)).toBe(true);
    expect(fixture.cache.unpin(tokens)).toBe(false);
    for (let seed = 6; seed < 8; seed++) await storePrompt(fixture, makeTokens(12 * 256, seed));
    expect((await fixture.cache.locate(tokens))["LocalCPUBackend"]).toBeLessThan(1024);
  });

  test("a pin ends when its time is up", async () => {
    const tokens = await openStored(512);
    await fixture.cache.pin(tokens, {}, 5000);
    fixture.clock.ms += 4999;
    (await fixture.cache.lookup(tokens))[Symbol.dispose]();
    expect(fixture.cache.stats().numPinnedChunks).toBe(2);
    fixture.clock.ms += 1;
    (await fixture.cache.lookup(tokens))[Symbol.dispose]();
    expect(fixture.cache.stats().numPinnedChunks).toBe(0);
  });

  test("pins take half of the pool at most; pinning again replaces", async () => {
    const tokens = await openStored(4 * 256, 12);
    expect(await fixture.cache.pin(tokens)).toBe(1024);
    expect(await fixture.cache.pin(tokens)).toBe(1024);
    const other = makeTokens(4 * 256, 2);
    await storePrompt(fixture, other);
    expect(await fixture.cache.pin(other)).toBe(0);
    expect(fixture.cache.stats().numPinnedChunks).toBe(4);
    expect(await fixture.cache.pin(makeTokens(256, 9))).toBe(0);
  });

  test("clear() drops all, one tier, or one prompt", async () => {
    const tokens = await openStored(512);
    const other = makeTokens(512, 2);
    await storePrompt(fixture, other);
    expect(await fixture.cache.clear({ tokens })).toBe(2);
    expect(await numStored(tokens)).toBe(0);
    expect(await numStored(other)).toBe(512);
    expect(await fixture.cache.clear({ location: "LocalCPUBackend" })).toBe(2);
    expect(await numStored(other)).toBe(512);
    expect(await fixture.cache.clear()).toBeGreaterThanOrEqual(2);
    expect(await numStored(other)).toBe(0);
    await expect(fixture.cache.clear({ location: "Moon" })).rejects.toThrow(
      /"Moon": wanted one of the tiers in use: LocalCPUBackend, LocalDiskBackend/,
    );
  });

  test("move() takes chunks from one tier to another, or copies them", async () => {
    const tokens = await openStored(600);
    await fixture.cpu!.clear();
    const [from, to] = ["LocalDiskBackend", "LocalCPUBackend"];
    expect(await fixture.cache.move(tokens, never, { from, to, isCopy: true })).toBe(600);
    expect(await fixture.cache.locate(tokens)).toEqual({ [from]: 600, [to]: 600 });
    await fixture.cpu!.clear();
    expect(await fixture.cache.move(tokens, never, { from, to, isCopy: false })).toBe(600);
    expect(await fixture.cache.locate(tokens)).toEqual({ [from]: 0, [to]: 600 });
  });
});
