import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import type { CacheConnectorOptions, KvRequest } from "../../../src/connector/index.ts";
import { type CacheFixtureOptions, CopyTier, makeTokens } from "../cache/cache-fixtures.ts";
import { ConnectorSetup } from "./connector-setup.ts";
import { StateEngine, type StateKind, stateLayouts } from "./state-engine.ts";

const never = new AbortController().signal;
const STEP_TOKENS = 512;
/** As in the real engine: what is left to compute is at least so many tokens, or the last one. */
const MIN_REST_TOKENS = 64;

class Setup extends ConnectorSetup {
  readonly kind: StateKind;
  /** Where state parts were wanted by the last request. */
  stops: readonly number[] = [];

  constructor(
    kind: StateKind,
    options: CacheFixtureOptions = {},
    settings: Partial<CacheConnectorOptions> = {},
  ) {
    super({ layout: stateLayouts[kind], ...options }, settings);
    this.kind = kind;
  }

  engine(): StateEngine {
    return new StateEngine(this.fixture.pool, this.kind);
  }

  override request(tokens: Int32Array): KvRequest {
    const canResumeAt = (position: number): boolean => {
      const rest = tokens.length - 1 - position;
      return rest === 0 || rest >= MIN_REST_TOKENS || tokens.length <= MIN_REST_TOKENS;
    };
    return super.request(tokens, { canResumeAt });
  }

  /** @returns how many tokens came in */
  async load(request: KvRequest, engine = this.engine()): Promise<number> {
    using match = await this.connector.lookup(request, 0);
    const numLoaded = await this.connector.load(match, 0, engine, never);
    this.stops = match.stops ?? [];
    if (numLoaded > 0) expect(engine.endsBehind(request.tokens, numLoaded)).toBe(true);
    expect([0, match.numTokens]).toContain(numLoaded);
    return numLoaded;
  }

  /** What an engine does with a prompt. @returns the number of tokens that were loaded */
  async serve(tokens: Int32Array, numPromptTokens = tokens.length): Promise<number> {
    const request = this.request(tokens.slice(0, numPromptTokens));
    const engine = this.engine();
    const numLoaded = await this.load(request, engine);
    Object.assign(request, { tokens });
    const ends = [...this.stops, numPromptTokens - 1, numPromptTokens].sort((a, b) => a - b);
    for (let to = numLoaded; to < tokens.length;) {
      const from = to;
      const end = to < numPromptTokens ? ends.find((each) => each > from)! : from + 1;
      to = Math.min(end, from + STEP_TOKENS);
      engine.compute(tokens, to);
      await this.connector.save(request, to, to === tokens.length, engine);
    }
    // As an engine does behind the last step of an answer.
    await this.connector.save(request, tokens.length, true, engine);
    this.connector.finish(request);
    await this.connector.flush();
    return numLoaded;
  }
}

describe.each(["hybrid", "recurrent"] as const)("CacheConnector for a %s model", (kind) => {
  let setup: Setup;
  const open = (options?: CacheFixtureOptions, settings?: Partial<CacheConnectorOptions>): Setup =>
    (setup = new Setup(kind, options, settings));
  afterEach(() => setup.close());

  test.each([2, 64, 65, 66, 255, 256, 257, 258, 320, 321, 513, 769, 1100, 1300])(
    "a prompt of %d tokens is loaded the second time, all but its last token",
    async (numTokens) => {
      open();
      const tokens = makeTokens(numTokens);
      expect(await setup.serve(tokens)).toBe(0);
      expect(await setup.serve(tokens)).toBe(numTokens - 1);
    },
  );

  test("the next turn of a conversation begins at the last whole chunk of the one before", async () => {
    open();
    const tokens = makeTokens(1500);
    await setup.serve(tokens.slice(0, 1100));
    expect(await setup.serve(tokens)).toBe(1024);
    expect(await setup.serve(tokens)).toBe(1499);
  });

  test("a boundary that would leave a narrow rest is passed over for the one before", async () => {
    open();
    await setup.serve(makeTokens(1024 + 64));
    expect(setup.stops).toEqual([768, 1087]);
    await setup.serve(makeTokens(1024 + 65, 2));
    expect(setup.stops).toEqual([1024, 1088]);
    // Stored at 1,024 by a longer prompt, and of no use to this one.
    expect(await setup.load(setup.request(makeTokens(1024 + 20, 2)))).toBe(0);
    expect(await setup.load(setup.request(makeTokens(1024 + 20)))).toBe(768);
  });

  test("a place where prompts branch off gets a state part when the second one comes by", async () => {
    open();
    const loaded = [];
    for (const seed of [1, 2, 3]) loaded.push(await setup.serve(makeTokens(1100, seed, 700)));
    expect(loaded).toEqual([0, 0, 512]);
  });

  test("a long prompt leaves state parts on its way", async () => {
    open({ numSlabs: 200 });
    const tokens = makeTokens(20_000);
    await setup.serve(tokens);
    expect(setup.stops).toEqual([8192, 16_384, 19_968 - 256, 19_999]);
    expect(await setup.load(setup.request(makeTokens(12_000, 1).slice()))).toBe(8192);
  });

  test("without save_unfull_chunk state parts are taken at whole chunks only", async () => {
    open({}, { saveUnfullChunk: false });
    const tokens = makeTokens(1100);
    await setup.serve(tokens);
    expect(await setup.serve(tokens)).toBe(1024);
  });

  test("with save_decode_cache the last whole chunk of an answer is kept for the next turn, and no other", async () => {
    open({}, { saveDecodeCache: true });
    const tokens = makeTokens(2000);
    await setup.serve(tokens.slice(0, 1500), 600);
    const { cache } = setup.fixture;
    expect(await cache.locate(tokens.slice(0, 1200))).toEqual({ LocalCPUBackend: 512 });
    expect(await setup.load(setup.request(tokens))).toBe(1280);
    // An answer that ends at a chunk's end.
    const other = makeTokens(1400, 2);
    await setup.serve(other.slice(0, 1024), 600);
    expect(await setup.load(setup.request(other))).toBe(1024);
  });

  test("chunks and state go in in order, in one load", async () => {
    open();
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    const engine = setup.engine();
    await setup.load(setup.request(tokens), engine);
    const chunks = kind === "hybrid" ? ["tokens 256", "tokens 512", "tokens 599"] : [];
    expect(engine.restored.map((part) => `${part.kind} ${part.end}`)).toEqual([
      ...chunks,
      "state 599",
    ]);
  });

  test("an engine that does not take the state has taken nothing", async () => {
    open();
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    const engine = setup.engine();
    engine.refusesStates = true;
    expect(await setup.load(setup.request(tokens), engine)).toBe(0);
    expect(engine.isEmpty).toBe(true);
    expect(setup.fixture.log.lines.at(-1)).toMatch(/Retrieved 0 out of 599 tokens/);
  });

  test("any part that is damaged makes the load come to nothing, and is stored again", async () => {
    const numParts = kind === "hybrid" ? 7 : 2;
    for (let part = 0; part < numParts; part++) {
      let disk!: CopyTier;
      open({ lowerTiers: (pool) => [(disk = new CopyTier(pool))] });
      const tokens = makeTokens(1024);
      await setup.serve(tokens);
      await setup.fixture.cpu!.clear();
      expect(disk.chunks.size).toBe(numParts);
      const damaged = [...disk.chunks.values()][part]!;
      damaged[damaged.length - 1]! ^= 1;
      // A state part of another boundary is as good as ever.
      expect([0, 768, 1023]).toContain(await setup.serve(tokens));
      expect(await setup.serve(tokens)).toBe(1023);
      await setup.close();
    }
    open();
  });

  test("pins take half of the pool at most, state parts by their length", async () => {
    const numSlabs = { hybrid: 8, recurrent: 2 }[kind];
    const { fixture } = open({ numSlabs });
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    expect(await setup.load(setup.request(tokens))).toBeGreaterThan(0);
    expect(await fixture.cache.pin(tokens)).toBe(0);
    expect(fixture.cache.stats().numPinnedChunks).toBe(0);
  });

  test("what was pinned, moved or cleared was so with its state parts", async () => {
    let disk!: CopyTier;
    open({ lowerTiers: (pool) => [(disk = new CopyTier(pool))] });
    const { cache } = setup.fixture;
    const tokens = makeTokens(600);
    await setup.serve(tokens);
    expect(await cache.pin(tokens)).toBe(599);
    expect(await cache.clear()).toBeGreaterThan(0);
    expect(await cache.locate(tokens)).toEqual({ LocalCPUBackend: 599, LocalDiskBackend: 0 });
    cache.unpin(tokens);
    const [from, to] = ["LocalCPUBackend", "LocalDiskBackend"];
    expect(await cache.move(tokens, never, { from, to, isCopy: false })).toBe(599);
    expect(await cache.locate(tokens)).toEqual({ LocalCPUBackend: 0, LocalDiskBackend: 599 });
    expect(await cache.prefetch(tokens, never)).toBe(599);
    expect(await cache.locate(tokens)).toMatchObject({ LocalCPUBackend: 599 });
    await cache.clear({ tokens });
    expect(disk.chunks.size).toBe(0);
    expect(setup.fixture.cpu!.stats().numChunks).toBe(0);
  });

  test("any prompts in any order: what is loaded is what would have been computed", async () => {
    open();
    const anyPrompt = fc.record({
      seed: fc.integer({ min: 1, max: 3 }),
      numShared: fc.nat({ max: 400 }),
      numTokens: fc.integer({ min: 1, max: 700 }),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(anyPrompt, { minLength: 1, maxLength: 10 }),
        fc.constantFrom(8, 20, 200),
        async (prompts, numSlabs) => {
          const run = new Setup(kind, { numSlabs, chunkTokens: 64 });
          for (const { seed, numShared, numTokens } of prompts) {
            const tokens = makeTokens(numTokens, seed, numShared);
            await run.serve(tokens);
            if (numSlabs === 200) expect(await run.serve(tokens)).toBe(numTokens - 1);
          }
          await run.close();
        },
      ),
      { numRuns: 40 },
    );
  });
});

test("chunks outlive their state parts, and not the other way round", async () => {
  const setup = new Setup("hybrid", { numSlabs: 12 });
  const stored = new Set<string>();
  for (const seed of [1, 2, 3, 4, 5]) {
    const tokens = makeTokens(700, seed);
    await setup.serve(tokens);
    stored.add(String(seed));
    for (const each of stored) {
      const known = makeTokens(700, Number(each));
      using match = await setup.fixture.cache.lookup(known);
      expect(match.numTokens).toBeLessThanOrEqual(match.numKnownTokens);
    }
  }
  expect(setup.fixture.cpu!.stats().numEvicted).toBeGreaterThan(0);
  expect(await setup.serve(makeTokens(700, 5))).toBe(699);
  await setup.close();
});
