import { setImmediate as nextTurn } from "node:timers/promises";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { CacheConnector, type KvRequest } from "../../../src/connector/index.ts";
import { subscribe } from "../../../src/core/index.ts";
import {
  type CacheFixture,
  CopyTier,
  FakeEngine,
  makeCache,
  makeTokens,
} from "../cache/cache-fixtures.ts";
import { ConnectorSetup } from "./connector-setup.ts";

const never = new AbortController().signal;

class Setup extends ConnectorSetup {
  engine(): FakeEngine {
    return new FakeEngine(this.fixture.pool);
  }

  /**
   * What an engine does with a prompt: look up, load, compute the rest in steps, save behind each.
   *
   * @returns the number of tokens that were loaded
   */
  async serve(tokens: Int32Array, step = 512, fields: Partial<KvRequest> = {}): Promise<number> {
    const request = this.request(tokens, fields);
    const engine = this.engine();
    const numLoaded = await this.load(request, engine);
    engine.trim(numLoaded);
    expect(engine.holds(tokens, numLoaded)).toBe(true);
    for (let to = numLoaded; to < tokens.length;) {
      to = Math.min(to + step, tokens.length);
      engine.compute(tokens, to);
      await this.connector.save(request, to, to === tokens.length, engine);
    }
    this.connector.finish(request);
    await this.connector.flush();
    return numLoaded;
  }

  async load(request: KvRequest, engine: FakeEngine, from = 0, signal = never): Promise<number> {
    using match = await this.connector.lookup(request, 0);
    return await this.connector.load(match, from, engine, signal);
  }
}

describe("CacheConnector", () => {
  let setup: Setup;
  const open = (...args: ConstructorParameters<typeof Setup>): Setup =>
    (setup = new Setup(...args));
  afterEach(async () => {
    vi.useRealTimers();
    await setup.close();
  });

  test.each([0, 1, 2, 255, 256, 257, 258, 511, 512, 513, 1023, 1024, 1025, 1300])(
    "a prompt of %d tokens is loaded the second time, all but its last token",
    async (numTokens) => {
      open();
      const tokens = makeTokens(numTokens);
      expect(await setup.serve(tokens)).toBe(0);
      expect(await setup.serve(tokens)).toBe(Math.max(0, numTokens - 1));
    },
  );

  test("the engine may hold more than was answered: the whole last chunk", async () => {
    open();
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    const engine = setup.engine();
    expect(await setup.load(setup.request(tokens), engine)).toBe(599);
    expect(engine.rows).toHaveLength(600);
    expect(engine.holds(tokens, 600)).toBe(true);
  });

  test("logs what was found in the documented words", async () => {
    open();
    const tokens = makeTokens(15_410);
    await setup.serve(tokens, 2048, { id: "cmpl-1" });
    await setup.serve(tokens, 2048, { id: "cmpl-2" });
    const lines = setup.fixture.log.lines.filter((line) => line.startsWith("Reqid"));
    expect(lines).toEqual([
      "Reqid: cmpl-1, Total tokens 15410, LMCache hit tokens: 0, need to load: 0",
      "Reqid: cmpl-2, Total tokens 15410, LMCache hit tokens: 15409, need to load: 15409",
    ]);
    expect(setup.fixture.log.lines).toContain(
      "Storing KV cache for 2048 out of 4096 tokens for request cmpl-1",
    );
  });

  test("save() takes new whole chunks in one call for each step, and nothing twice", async () => {
    open();
    const tokens = makeTokens(1000);
    const request = setup.request(tokens);
    const engine = setup.engine();
    const saved: number[] = [];
    for (const to of [100, 300, 300, 800, 1000, 1000]) {
      engine.compute(tokens, to);
      saved.push(await setup.connector.save(request, to, to === 1000, engine));
    }
    expect(saved).toEqual([0, 256, 0, 512, 232, 0]);
    expect(engine.extractCalls.map((parts) => parts.map((part) => part.start))).toEqual([
      [0],
      [256, 512],
      [768],
    ]);
    setup.connector.finish(request);
  });

  test("save() takes nothing that lookup() found stored", async () => {
    open();
    const tokens = makeTokens(1500);
    await setup.serve(tokens.slice(0, 1100));
    const request = setup.request(tokens);
    const engine = setup.engine();
    expect(await setup.load(request, engine)).toBe(1099);
    engine.trim(1099);
    engine.compute(tokens);
    expect(await setup.connector.save(request, 1500, true, engine)).toBe(1500 - 1024);
    expect(engine.extractCalls[0]!.map((part) => part.start)).toEqual([1024, 1280]);
    setup.connector.finish(request);
  });

  test("without save_unfull_chunk only whole chunks are stored", async () => {
    open({}, { saveUnfullChunk: false });
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    expect(await setup.serve(tokens)).toBe(512);
  });

  test("generated tokens are stored with save_decode_cache only", async () => {
    for (const saveDecodeCache of [false, true]) {
      const setup = new Setup({}, { saveDecodeCache });
      const tokens = makeTokens(900);
      const request = setup.request(tokens, { numPromptTokens: 300 });
      const engine = setup.engine();
      for (const to of [300, 511, 512, 513, 900]) {
        engine.compute(tokens, to);
        await setup.connector.save(request, to, to === 900, engine);
      }
      setup.connector.finish(request);
      await setup.connector.flush();
      expect(await setup.load(setup.request(tokens.slice(0, 300)), setup.engine())).toBe(299);
      expect(await setup.load(setup.request(tokens), setup.engine())).toBe(
        saveDecodeCache ? 899 : 299,
      );
      await setup.close();
    }
    open();
  });

  test("a hit below min_retrieve_tokens is not loaded, and not stored again", async () => {
    open({}, { minRetrieveTokens: 600 });
    const tokens = makeTokens(1000);
    await setup.serve(tokens.slice(0, 600));
    const request = setup.request(tokens.slice(0, 600));
    const engine = setup.engine();
    expect(await setup.load(request, engine)).toBe(0);
    engine.compute(request.tokens);
    expect(await setup.connector.save(request, 600, true, engine)).toBe(0);
    await setup.serve(tokens);
    expect(await setup.load(setup.request(tokens), setup.engine())).toBe(999);
  });

  test("a producer loads nothing and a consumer saves nothing", async () => {
    open({}, { role: "kv_producer" });
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    expect(await setup.serve(tokens)).toBe(0);
    expect(await setup.fixture.cache.locate(tokens)).toEqual({ LocalCPUBackend: 600 });
    const consumer = new Setup({}, { role: "kv_consumer" });
    await consumer.serve(tokens);
    expect(await consumer.fixture.cache.locate(tokens)).toEqual({ LocalCPUBackend: 0 });
    await consumer.close();
  });

  test("a request may ask not to be stored", async () => {
    open();
    const tokens = makeTokens(600);
    for (const value of [true, "True"]) {
      await setup.serve(tokens, 512, { kvTransferParams: { "lmcache.skip_save": value } });
      expect(await setup.fixture.cache.locate(tokens)).toEqual({ LocalCPUBackend: 0 });
    }
    await setup.serve(tokens, 512, { kvTransferParams: { "lmcache.skip_save": false } });
    expect(await setup.fixture.cache.locate(tokens)).toEqual({ LocalCPUBackend: 600 });
  });

  test("save() leaves out requests of a higher priority value than the limit", async () => {
    open({}, { priorityLimit: 5 });
    const tokens = makeTokens(600);
    await setup.serve(tokens, 512, { priority: 6 });
    expect(await setup.fixture.cache.locate(tokens)).toEqual({ LocalCPUBackend: 0 });
    await setup.serve(tokens, 512, { priority: 5 });
    expect(await setup.fixture.cache.locate(tokens)).toEqual({ LocalCPUBackend: 600 });
  });

  test("salts and tags keep requests apart", async () => {
    open();
    const tokens = makeTokens(600);
    const tagged = { kvTransferParams: { "lmcache.tag.user": "x", other: 1 } };
    await setup.serve(tokens, 512, { cacheSalt: "a" });
    await setup.serve(tokens, 512, tagged);
    expect(await setup.serve(tokens, 512, { cacheSalt: "a" })).toBe(599);
    expect(await setup.serve(tokens, 512, tagged)).toBe(599);
    expect(await setup.serve(tokens, 512, { cacheSalt: "a", ...tagged })).toBe(0);
    expect(await setup.serve(tokens)).toBe(0);
  });

  test("load() goes on from what the engine has already", async () => {
    open();
    const tokens = makeTokens(1200);
    await setup.serve(tokens);
    for (const from of [1, 255, 256, 700, 1198]) {
      const engine = setup.engine();
      engine.compute(tokens, from);
      expect(await setup.load(setup.request(tokens), engine, from)).toBe(1199);
      expect(engine.restoreCalls[0]![0]!.start).toBe(from - (from % 256));
      expect(engine.holds(tokens, 1200)).toBe(true);
    }
    const engine = setup.engine();
    expect(await setup.load(setup.request(tokens), engine, 1199)).toBe(1199);
    expect(engine.restoreCalls).toEqual([]);
  });

  test("load() answers what came when the engine takes no more, or fails", async () => {
    open();
    const tokens = makeTokens(1500);
    await setup.serve(tokens);
    const short = setup.engine();
    short.restoreLimit = 3;
    expect(await setup.load(setup.request(tokens), short)).toBe(768);
    expect(short.holds(tokens, 768)).toBe(true);
    const broken = setup.engine();
    broken.failure = new Error("no engine");
    expect(await setup.load(setup.request(tokens), broken)).toBe(0);
    expect(setup.fixture.log.lines).toContain("Cannot copy KV into the engine: no engine");
  });

  test("load() ends when its time is up and keeps what came", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    let disk!: CopyTier;
    const lowerTiers = (pool: CacheFixture["pool"]): CopyTier[] => [(disk = new CopyTier(pool))];
    const estimatePrefillMs = vi.fn(() => 500);
    open({ lowerTiers, localCpu: false }, { blockingTimeoutMs: 2000, estimatePrefillMs });
    const tokens = makeTokens(10 * 256);
    await setup.serve(tokens, 10 * 256);
    const engine = setup.engine();
    let letGo!: () => void;
    const loading = setup.load(setup.request(tokens), engine);
    while (engine.rows.length < 512) await nextTurn();
    disk.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    for (let turn = 0; turn < 5; turn++) await nextTurn();
    await vi.advanceTimersByTimeAsync(499);
    await vi.advanceTimersByTimeAsync(1);
    const numLoaded = await loading;
    expect(numLoaded).toBeGreaterThanOrEqual(512);
    expect(numLoaded).toBeLessThan(2559);
    expect(engine.holds(tokens, numLoaded)).toBe(true);
    expect(estimatePrefillMs).toHaveBeenCalledWith(2559);
    expect(vi.getTimerCount()).toBe(0);
    letGo();
  });

  test("load() does not charge the tiers for a busy engine", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    open({ numSlabs: 200 }, { blockingTimeoutMs: 1000 });
    const tokens = makeTokens(140 * 256);
    await setup.serve(tokens);
    const engine = setup.engine();
    let step!: () => void;
    engine.gate = new Promise((resolve) => {
      step = resolve;
    });
    const loading = setup.load(setup.request(tokens), engine);
    while (engine.restoreCalls.length < 2) await nextTurn();
    await vi.advanceTimersByTimeAsync(5000);
    step();
    expect(await loading).toBe(140 * 256 - 1);
  });

  test("lookup() waits for what a request with the same beginning is taking out of the engine", async () => {
    open();
    const tokens = makeTokens(600);
    const first = setup.engine();
    first.compute(tokens, 600);
    let letGo!: () => void;
    first.gate = new Promise((resolve) => {
      letGo = resolve;
    });
    const request = setup.request(tokens);
    const { connector } = setup;
    (await connector.lookup(request, 0))[Symbol.dispose]();
    const saving = connector.save(request, 600, true, first);
    const looking = connector.lookup(setup.request(tokens), 0);
    // Another prompt does not wait.
    (await connector.lookup(setup.request(makeTokens(600, 7)), 0))[Symbol.dispose]();
    letGo();
    await saving;
    using match = await looking;
    expect(match.numTokens).toBe(599);
  });

  test("load() ends when the request is aborted", async () => {
    open();
    const tokens = makeTokens(1500);
    await setup.serve(tokens);
    const engine = setup.engine();
    expect(await setup.load(setup.request(tokens), engine, 0, AbortSignal.abort())).toBe(0);
    expect(engine.rows).toHaveLength(0);
  });

  test("a damaged chunk is computed instead, and stored again", async () => {
    let disk!: CopyTier;
    open({ lowerTiers: (pool) => [(disk = new CopyTier(pool))] });
    const tokens = makeTokens(1024);
    await setup.serve(tokens);
    await setup.fixture.cpu!.clear();
    [...disk.chunks.values()][2]![6000]! ^= 1;
    expect(await setup.serve(tokens)).toBe(512);
    expect(await setup.serve(tokens)).toBe(1023);
  });

  test("save() that finds the pool full gives up, counts, and the request goes on", async () => {
    open({ numSlabs: 3 });
    const refused: number[] = [];
    const end = subscribe("warmkv:cache:refused", (event) => refused.push(event.numChunks));
    const tokens = makeTokens(6 * 256);
    await setup.serve(tokens, 256);
    end();
    expect(refused.length).toBeGreaterThan(0);
    expect(await setup.serve(tokens, 256)).toBe(768);
  });

  test("prompts that are computed at the same time do not push out each other's beginning", async () => {
    open({ numSlabs: 6 });
    const prompts = [1, 2].map((seed) => makeTokens(8 * 256, seed));
    const runs = prompts.map((tokens) => ({
      tokens,
      request: setup.request(tokens),
      engine: setup.engine(),
    }));
    for (let to = 256; to <= 8 * 256; to += 256) {
      for (const { tokens, request, engine } of runs) {
        engine.compute(tokens, to);
        await setup.connector.save(request, to, to === tokens.length, engine);
        await setup.connector.flush();
      }
    }
    for (const { request } of runs) setup.connector.finish(request);
    const numsLoaded = await Promise.all(
      runs.map(({ tokens }) => setup.load(setup.request(tokens), setup.engine())),
    );
    expect(numsLoaded).toEqual([768, 768]);
  });

  test("save() goes on from the chunk that failed to come out", async () => {
    open();
    const tokens = makeTokens(1024);
    const request = setup.request(tokens);
    const engine = setup.engine();
    engine.compute(tokens);
    engine.extractLimit = 2;
    expect(await setup.connector.save(request, 1024, true, engine)).toBe(512);
    await setup.connector.flush();
    expect(await setup.load(setup.request(tokens), setup.engine())).toBe(512);
    setup.connector.finish(request);
  });

  test("close() waits for what is on its way out of the engine", async () => {
    open();
    const tokens = makeTokens(512);
    const engine = setup.engine();
    engine.compute(tokens);
    let step!: () => void;
    engine.gate = new Promise((resolve) => {
      step = resolve;
    });
    const request = setup.request(tokens);
    const saving = setup.connector.save(request, 512, true, engine);
    setup.connector.finish(request);
    const closing = setup.close();
    step();
    await closing;
    expect(await saving).toBe(512);
    open();
  });

  test("an engine that fails while it is read costs the save only", async () => {
    open();
    const tokens = makeTokens(512);
    const engine = setup.engine();
    engine.compute(tokens);
    engine.failure = new Error("no engine");
    const request = setup.request(tokens);
    expect(await setup.connector.save(request, 512, true, engine)).toBe(0);
    setup.connector.finish(request);
  });

  test("a broken tier costs hits and nothing else", async () => {
    let disk!: CopyTier;
    open({ lowerTiers: (pool) => [(disk = new CopyTier(pool))], localCpu: false });
    const tokens = makeTokens(1024);
    disk.failure = "unavailable";
    expect(await setup.serve(tokens)).toBe(0);
    expect(await setup.serve(tokens)).toBe(0);
    disk.failure = undefined;
    setup.fixture.clock.ms += 60_000;
    await setup.serve(tokens);
    expect(await setup.serve(tokens)).toBe(1023);
  });

  test("with local_cpu off, a pool of 8 slabs serves 16 requests of 20 chunks at once", async () => {
    open({ numSlabs: 8, localCpu: false, lowerTiers: (pool) => [new CopyTier(pool)] });
    const prompts = Array.from({ length: 16 }, (_, seed) => makeTokens(20 * 256, seed, 256));
    for (let round = 0; round < 2; round++) {
      await Promise.all(prompts.map((tokens) => setup.serve(tokens, 1024)));
    }
    expect(setup.fixture.pool.usedBytes).toBe(0);
  });

  test("a match of another connector is refused", async () => {
    open();
    const match = { numTokens: 5, [Symbol.dispose]() {} };
    await expect(setup.connector.load(match, 0, setup.engine(), never)).rejects.toThrow(TypeError);
  });

  test("any prompts in any order: what is loaded is what would have been computed", async () => {
    open();
    const anyPrompt = fc.record({
      seed: fc.integer({ min: 1, max: 3 }),
      numShared: fc.nat({ max: 40 }),
      numTokens: fc.nat({ max: 70 }),
      step: fc.constantFrom(1, 7, 8, 9, 64),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyPrompt, { minLength: 1, maxLength: 12 }),
        fc.constantFrom(3, 6, 120),
        async (prompts, numSlabs) => {
          const run = new Setup({ numSlabs, chunkTokens: 8 });
          const stored: Int32Array[] = [];
          for (const { seed, numShared, numTokens, step } of prompts) {
            const tokens = makeTokens(numTokens, seed, numShared);
            const numLoaded = await run.serve(tokens, step);
            const best = Math.max(0, ...stored.map((other) => reusable(tokens, other)));
            // Behind the last whole chunk only some ends of other prompts are tried.
            const most = Math.max(best, ...stored.map((other) => reusableTail(tokens, other)));
            expect(numLoaded).toBeLessThanOrEqual(most);
            if (numSlabs === 120) {
              const least = Math.min(best, Math.max(0, numTokens - 1));
              expect(numLoaded).toBeGreaterThanOrEqual(least);
            }
            stored.push(tokens);
          }
          await run.close();
        },
      ),
      { numRuns: 60 },
    );
  });
});

/** How many leading tokens of a prompt another one has stored, in chunks of 8. */
function reusable(tokens: Int32Array, stored: Int32Array): number {
  let numEqual = 0;
  while (numEqual < tokens.length && tokens[numEqual] === stored[numEqual]) numEqual++;
  if (numEqual === tokens.length && numEqual === stored.length && numEqual % 8 > 1) return numEqual;
  return numEqual - (numEqual % 8);
}

/** Likewise, with the partial chunk at the other one's end, but for its last token. */
function reusableTail(tokens: Int32Array, stored: Int32Array): number {
  const isLonger = tokens.length > stored.length;
  const isBeginning = stored.every((token, index) => tokens[index] === token);
  return isLonger && isBeginning ? stored.length - 1 : 0;
}

test("CacheConnector refuses a pool that native code cannot reach", async () => {
  const { cache, log } = makeCache({ isNative: false });
  expect(() => new CacheConnector({ cache, logger: log, blockingTimeoutMs: 1 })).toThrow(
    "Cannot serve an engine from a pool without native memory",
  );
  await cache[Symbol.asyncDispose]();
});
