import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type {
  EngineKv,
  KvConnector,
  KvMatch,
  KvRequest,
} from "../../../src/connector/connector.ts";
import { NullConnector } from "../../../src/connector/null-connector.ts";
import { UsageError, silentLogger, systemClock } from "../../../src/core/index.ts";
import type { GenerationDelta } from "../../../src/engine/engine.ts";
import { LlmEngine } from "../../../src/engine/llm-engine.ts";
import type { EmbeddingShape } from "../../../src/engine/model-runner.ts";
import { PrefillEstimate } from "../../../src/engine/prefill-estimate.ts";
import { type SamplingParams, defaultSamplingParams } from "../../../src/engine/sampling-params.ts";
import type { SchedulerOptions } from "../../../src/engine/scheduler.ts";
import { END_TOKEN, FakeRunner, answerTo, nextToken } from "./fake-runner.ts";

const open: LlmEngine[] = [];
afterEach(async () => {
  for (const engine of open.splice(0)) await engine[Symbol.asyncDispose]();
});

function createEngine(
  options: {
    scheduler?: Partial<SchedulerOptions>;
    connector?: KvConnector;
    maxModelLen?: number;
    prefixCache?: { keepsGenerated: boolean };
    embedding?: EmbeddingShape;
    runsAhead?: boolean;
  } = {},
): { engine: LlmEngine; runner: FakeRunner } {
  const runner = new FakeRunner();
  const engine = new LlmEngine({
    model: {
      name: "fake",
      architecture: "fake",
      maxModelLen: options.maxModelLen ?? 1000,
      vocabSize: 256,
      numParameters: 0,
      chatTemplate: undefined,
      bosText: "",
      eosText: "",
      addsBos: false,
    },
    runner,
    vocab: {
      tokenize: async (text) => Int32Array.from(Buffer.from(text)),
      pieceOf: (token) => Uint8Array.of(token),
      specialPieceOf: (token) => Uint8Array.of(token),
      textOf: (token) => String.fromCharCode(token),
      isEndOfGeneration: (token) => token === END_TOKEN,
    },
    connector: options.connector ?? new NullConnector(),
    prefixCache: options.prefixCache,
    scheduler: {
      numSlots: 4,
      numCells: 1000,
      maxStepTokens: 128,
      maxWaiting: 50,
      ...options.scheduler,
    },
    embedding: options.embedding,
    runsAhead: options.runsAhead ?? true,
    prefill: new PrefillEstimate(),
    logger: silentLogger,
    clock: systemClock,
  });
  open.push(engine);
  return { engine, runner };
}

let nextId = 0;

async function generate(
  engine: LlmEngine,
  prompt: Int32Array,
  sampling: Partial<SamplingParams> = {},
  signal?: AbortSignal,
): Promise<{ text: string; last: GenerationDelta | undefined }> {
  let text = "";
  let last: GenerationDelta | undefined;
  const request = {
    id: `r${nextId++}`,
    promptTokens: prompt,
    sampling: { ...defaultSamplingParams, temperature: 0, ...sampling },
  };
  for await (const delta of engine.generate(request, signal)) {
    text += delta.text;
    last = delta;
  }
  return { text, last };
}

const promptOf = (length: number, seed = 1): Int32Array =>
  Int32Array.from({ length }, (_, i) => 97 + ((i * 7 + seed * 13) % 26));

/** A cache whose loads come to nothing half-way, and which wants state parts at two places. */
class StopsConnector extends NullConnector {
  readonly saved: number[] = [];

  override async lookup(): Promise<KvMatch> {
    return { numTokens: 200, stops: [96, 200], [Symbol.dispose]() {} };
  }
  override async load(_: KvMatch, _from: number, engine?: EngineKv): Promise<number> {
    const part = { kind: "tokens", start: 0, end: 3, address: 1n, byteLength: 3 } as const;
    await engine!.restore([part]);
    return 0;
  }
  override async save(_request?: KvRequest, to = 0): Promise<number> {
    this.saved.push(to);
    return 0;
  }
}

/** Remembers whole chunks of 16 tokens by their text, as a cache would. */
class FakeConnector implements KvConnector {
  readonly chunks = new Map<string, number[]>();
  numHeld = 0;
  /** A load that stops early or never ends. */
  loadLimit = Infinity;
  #nextAddress = 1n;
  readonly #address = new Map<string, bigint>();

  async lookup(request: KvRequest): Promise<KvMatch> {
    let end = 0;
    while (end + 16 <= request.tokens.length && this.#address.has(keyOf(request.tokens, end + 16)))
      end += 16;
    this.numHeld++;
    const tokens = request.tokens.slice(0, end);
    let isReleased = false;
    const release = (): void => {
      isReleased = true;
      this.numHeld--;
    };
    return Object.assign(
      { numTokens: Math.min(end, request.tokens.length - 1), tokens },
      { isReleased: () => isReleased, [Symbol.dispose]: release },
    );
  }

  async load(match: KvMatch, from: number, engine: EngineKv, signal: AbortSignal): Promise<number> {
    const { tokens } = match as unknown as { tokens: Int32Array };
    const { isReleased } = match as unknown as { isReleased: () => boolean };
    for (
      let start = from - (from % 16);
      start < tokens.length && start < this.loadLimit;
      start += 16
    ) {
      if (signal.aborted) return start;
      const address = this.#address.get(keyOf(tokens, start + 16))!;
      await engine.restore([{ kind: "tokens", start, end: start + 16, address, byteLength: 16 }]);
      await new Promise(setImmediate);
      if (isReleased()) throw new Error("the match was released while it was loading");
    }
    return Math.min(tokens.length, this.loadLimit);
  }

  async save(request: KvRequest, to: number, _isFinal: boolean, engine: EngineKv): Promise<number> {
    for (let start = 0; start + 16 <= Math.min(to, request.numPromptTokens); start += 16) {
      const key = keyOf(request.tokens, start + 16);
      if (this.#address.has(key)) continue;
      const address = this.#nextAddress++;
      const part = { kind: "tokens" as const, start, end: start + 16, address, byteLength: 16 };
      const [numBytes] = await engine.extract([part]);
      if (numBytes! > 0) this.#address.set(key, address);
    }
    return 0;
  }
  finish(): void {}
  async flush(): Promise<void> {}
  async close(): Promise<void> {}
}

const keyOf = (tokens: Int32Array, end: number): string => tokens.subarray(0, end).join();

describe("LlmEngine", () => {
  it("ends steps where a state is wanted, and forgets what a load left that came to nothing", async () => {
    const connector = new StopsConnector();
    const { engine, runner } = createEngine({ connector });
    runner.store.set(1n, [1, 2, 3]);
    const prompt = promptOf(300);
    const { text, last } = await generate(engine, prompt, { maxTokens: 4 });
    expect(text).toBe(answerTo(prompt, 4));
    expect(last!.numCachedTokens).toBe(0);
    expect(connector.saved.slice(0, 4)).toEqual([96, 200, 299, 300]);
  });

  it("answers a request alone and many at once with the same text", async () => {
    const { engine } = createEngine();
    const prompts = [3, 64, 65, 200, 17, 1, 130, 90].map((length, i) => promptOf(length, i));
    const answers = await Promise.all(
      prompts.map((prompt) => generate(engine, prompt, { maxTokens: 20 })),
    );
    expect(answers.map((answer) => answer.text)).toEqual(
      prompts.map((prompt) => answerTo(prompt, 20)),
    );
    expect(answers.map((answer) => answer.last?.finishReason)).toEqual(prompts.map(() => "length"));
  });

  it("drops what was computed ahead behind a stop string, and the slot's next owner sees none of it", async () => {
    const { engine, runner } = createEngine({ scheduler: { numSlots: 1 } });
    const prompt = promptOf(20);
    const whole = answerTo(prompt, 40);
    const stop = whole.slice(10, 13);
    const { text, last } = await generate(engine, prompt, { maxTokens: 40, stop: [stop] });
    expect([text, last?.finishReason]).toEqual([whole.slice(0, whole.indexOf(stop)), "stop"]);
    const numLast = last!.tokens.length;
    expect(numLast).toBe(1);
    const other = promptOf(30, 2);
    expect((await generate(engine, other, { maxTokens: 25 })).text).toBe(answerTo(other, 25));
    expect(runner.memory.size).toBe(0);
  });

  it("runs ahead of the answers, one call for many steps, and computes nothing in vain at a known end", async () => {
    for (const runsAhead of [true, false]) {
      const { engine, runner } = createEngine({ runsAhead });
      const prompt = promptOf(20);
      const { text } = await generate(engine, prompt, { maxTokens: 40 });
      expect(text).toBe(answerTo(prompt, 40));
      // One for the prompt but its last token, one for each token of the answer.
      expect(runner.numSteps).toBe(41);
      if (runsAhead) expect(runner.numRuns).toBeLessThan(8);
      else expect(runner.numRuns).toBe(41);
    }
  });

  it("admits who comes while it runs ahead, behind the step under way", async () => {
    const { engine, runner } = createEngine();
    const first = generate(engine, promptOf(20), { maxTokens: 60 });
    while (runner.numSteps < 20) await new Promise(setImmediate);
    const numBefore = runner.numSteps;
    await generate(engine, promptOf(10, 5), { maxTokens: 1 });
    // The step under way, one beside the lookup, two for the prompt, and none of a run that was planned before.
    expect(runner.numSteps - numBefore).toBeLessThanOrEqual(5);
    expect((await first).text).toBe(answerTo(promptOf(20), 60));
  });

  it("frees an aborted request's slot behind the step under way", async () => {
    const { engine, runner } = createEngine();
    const controller = new AbortController();
    const left = generate(engine, promptOf(20), { maxTokens: 500 }, controller.signal);
    while (runner.numSteps < 20) await new Promise(setImmediate);
    const numBefore = runner.numSteps;
    controller.abort();
    await expect(left).rejects.toThrow("aborted");
    while (runner.memory.size > 0) await new Promise(setImmediate);
    expect(runner.numSteps - numBefore).toBeLessThanOrEqual(2);
  });

  it("gives the same text through preemption", async () => {
    const { engine, runner } = createEngine({ scheduler: { numCells: 150 }, maxModelLen: 150 });
    const prompts = [40, 40, 40].map((length, i) => promptOf(length, i));
    const answers = await Promise.all(
      prompts.map((prompt) => generate(engine, prompt, { maxTokens: 60 })),
    );
    expect(answers.map((answer) => answer.text)).toEqual(
      prompts.map((prompt) => answerTo(prompt, 60)),
    );
    expect(runner.steps.flat().filter((item) => item.start === 0).length).toBeGreaterThan(3);
  });

  it("reuses what the connector has stored and says how much", async () => {
    const connector = new FakeConnector();
    const { engine, runner } = createEngine({ connector });
    const prompt = promptOf(50);
    const cold = await generate(engine, prompt);
    runner.steps.length = 0;
    const warm = await generate(engine, prompt);
    expect(warm.text).toBe(cold.text);
    expect([cold.last?.numCachedTokens, warm.last?.numCachedTokens]).toEqual([0, 48]);
    expect(runner.steps[0]).toMatchObject([{ start: 48 }]);
    expect(connector.numHeld).toBe(0);
  });

  it("saves the prompt when it is complete, and the answer when it is", async () => {
    const connector = new FakeConnector();
    const finals: number[] = [];
    const save = connector.save.bind(connector);
    connector.save = (request, to, isFinal, kv) => {
      if (isFinal) finals.push(to);
      return save(request, to, isFinal, kv);
    };
    const { engine } = createEngine({ connector });
    await generate(engine, promptOf(100), { maxTokens: 10 });
    expect(finals).toEqual([100, 109]);
  });

  it("computes the last prompt token even when everything is stored", async () => {
    const { engine, runner } = createEngine({ connector: new FakeConnector() });
    const prompt = promptOf(64);
    const cold = await generate(engine, prompt);
    runner.steps.length = 0;
    expect((await generate(engine, prompt)).text).toBe(cold.text);
    expect(runner.steps[0]).toMatchObject([{ start: 63 }]);
  });

  it("computes what a load did not bring", async () => {
    const connector = new FakeConnector();
    const { engine } = createEngine({ connector });
    const prompt = promptOf(100);
    const cold = await generate(engine, prompt);
    connector.loadLimit = 32;
    const warm = await generate(engine, prompt);
    expect([warm.text, warm.last?.numCachedTokens]).toEqual([cold.text, 32]);
  });

  it("gives the same answers whatever is stored, at every prompt length", async () => {
    const { engine } = createEngine({ connector: new FakeConnector() });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 100 }),
        fc.integer({ min: 1, max: 3 }),
        async (length, seed) => {
          const prompt = promptOf(length, seed);
          expect((await generate(engine, prompt)).text).toBe(answerTo(prompt, 16));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("frees cells, sampler and lease of a client that leaves, within one step", async () => {
    const connector = new FakeConnector();
    const { engine, runner } = createEngine({ connector });
    const abort = new AbortController();
    const answer = generate(engine, promptOf(40), { maxTokens: 500 }, abort.signal);
    const failed = expect(answer).rejects.toThrow();
    while (runner.numSteps < 5) await new Promise(setImmediate);
    const numSteps = runner.numSteps;
    abort.abort();
    await failed;
    expect(runner.numSteps).toBeLessThanOrEqual(numSteps + 1);
    expect([engine.stats().numRunning, engine.stats().numUsedCells]).toEqual([0, 0]);
    expect([runner.memory.size, runner.samplers.size, connector.numHeld]).toEqual([0, 0, 0]);
  });

  it("drops a client that leaves while it waits", async () => {
    const { engine } = createEngine({ scheduler: { numSlots: 1 } });
    const first = generate(engine, promptOf(10), { maxTokens: 50 });
    const abort = new AbortController();
    const second = generate(engine, promptOf(10), {}, abort.signal);
    const failed = expect(second).rejects.toThrow();
    abort.abort();
    await failed;
    expect(engine.stats().numWaiting).toBe(0);
    expect((await first).text).toBe(answerTo(promptOf(10), 50));
  });

  it("stops where the reader leaves the loop", async () => {
    const { engine, runner } = createEngine();
    const request = {
      id: "leaver",
      promptTokens: promptOf(5),
      sampling: { ...defaultSamplingParams, maxTokens: 500 },
    };
    for await (const delta of engine.generate(request)) if (delta.text !== "") break;
    await generate(engine, promptOf(3));
    expect(runner.memory.size).toBe(0);
  });

  it("fails the requests of a failed step and goes on", async () => {
    const { engine, runner } = createEngine();
    runner.nextStatus = "failed";
    await expect(generate(engine, promptOf(5))).rejects.toThrow(
      "The model failed to compute this request",
    );
    expect((await generate(engine, promptOf(5))).text).toBe(answerTo(promptOf(5), 16));
  });

  it("ends at an end-of-generation token, a stop token, a stop string and the context's end", async () => {
    const { engine } = createEngine({ maxModelLen: 30 });
    const prompt = promptOf(5);
    const answer = answerTo(prompt, 25);
    const third = nextToken([...prompt, ...Buffer.from(answer.slice(0, 2))]);
    const at = answer.indexOf(String.fromCharCode(third));
    const stopped = await generate(engine, prompt, { stopTokenIds: [third], maxTokens: 20 });
    expect([stopped.text, stopped.last?.finishReason]).toEqual([answer.slice(0, at), "stop"]);
    const word = answer.slice(2, 4);
    const cut = await generate(engine, prompt, { stop: [word], maxTokens: 20 });
    expect([cut.text, cut.last?.finishReason]).toEqual([
      answer.slice(0, answer.indexOf(word)),
      "stop",
    ]);
    const full = await generate(engine, prompt, { maxTokens: 500 });
    expect([full.text, full.last?.finishReason]).toEqual([answer, "length"]);
  });

  it("refuses an empty prompt and one that leaves no room", async () => {
    const { engine } = createEngine({ maxModelLen: 30 });
    await expect(generate(engine, new Int32Array())).rejects.toThrow(UsageError);
    await expect(generate(engine, promptOf(30))).rejects.toThrow(
      /maximum context length is 30 tokens/,
    );
  });
});

describe("prefix cache", () => {
  const prefixCache = { keepsGenerated: false };
  const otherPrompt = (length: number, seed = 1): Int32Array =>
    Int32Array.from({ length }, (_, i) => 97 + ((i * i + seed * 5) % 26));

  it("computes only the last token of a prompt that was there before", async () => {
    const { engine, runner } = createEngine({ prefixCache });
    const prompt = otherPrompt(300);
    const cold = await generate(engine, prompt, { maxTokens: 5 });
    runner.steps.length = 0;
    const warm = await generate(engine, prompt, { maxTokens: 5 });
    expect(warm.text).toBe(cold.text);
    expect(cold.last!.numCachedTokens).toBe(0);
    expect(warm.last!.numCachedTokens).toBe(299);
    expect(runner.steps[0]![0]!.tokens).toHaveLength(1);
  });

  it("shares a beginning, with prompts that run and with prompts that are over", async () => {
    const { engine } = createEngine({ prefixCache });
    const start = otherPrompt(200);
    const prompts = [1, 2, 3, 4].map((seed) =>
      Int32Array.from([...start, ...otherPrompt(100, seed)]),
    );
    const cached: number[] = [];
    for (const prompt of prompts) {
      const { text, last } = await generate(engine, prompt, { maxTokens: 6 });
      expect(text).toBe(answerTo(prompt, 6));
      cached.push(last!.numCachedTokens);
    }
    expect(cached).toEqual([0, 200, 200, 200]);
    const again = await Promise.all(
      prompts.map((prompt) => generate(engine, prompt, { maxTokens: 6 })),
    );
    expect(again.map(({ text }) => text)).toEqual(prompts.map((prompt) => answerTo(prompt, 6)));
    expect(again.map(({ last }) => last!.numCachedTokens)).toEqual([200, 200, 200, 200]);
  });

  it("keeps salts apart, and forgets when it is told to", async () => {
    const { engine } = createEngine({ prefixCache });
    const cachedOf = async (cacheSalt?: string): Promise<number> => {
      let numCached = -1;
      const sampling = { ...defaultSamplingParams, temperature: 0, maxTokens: 2 };
      const request = { id: `s${nextId++}`, promptTokens: otherPrompt(200), sampling, cacheSalt };
      for await (const delta of engine.generate(request)) numCached = delta.numCachedTokens;
      return numCached;
    };
    expect(await cachedOf("a")).toBe(0);
    expect(await cachedOf("a")).toBe(199);
    expect(await cachedOf("b")).toBe(0);
    expect(await cachedOf()).toBe(0);
    engine.resetPrefixCache();
    expect(await cachedOf("a")).toBe(0);
  });

  it("gives cells up to those who compute, the least recently used first", async () => {
    const { engine, runner } = createEngine({ prefixCache, scheduler: { numCells: 700 } });
    for (const seed of [1, 2, 3]) await generate(engine, otherPrompt(200, seed), { maxTokens: 2 });
    await generate(engine, otherPrompt(450, 4), { maxTokens: 2 });
    const numCells = [...runner.memory.values()].reduce((sum, tokens) => sum + tokens.length, 0);
    expect(numCells).toBeLessThanOrEqual(700);
    expect(
      (await generate(engine, otherPrompt(200, 3), { maxTokens: 2 })).last!.numCachedTokens,
    ).toBe(199);
    expect(
      (await generate(engine, otherPrompt(200, 1), { maxTokens: 2 })).last!.numCachedTokens,
    ).toBe(0);
  });

  it("keeps answers for the next turn only when it is told to", async () => {
    for (const keepsGenerated of [false, true]) {
      const { engine } = createEngine({ prefixCache: { keepsGenerated } });
      const prompt = otherPrompt(200);
      const first = await generate(engine, prompt, { maxTokens: 40 });
      const next = Int32Array.from([...prompt, ...Buffer.from(first.text), ...otherPrompt(100, 5)]);
      const second = await generate(engine, next, { maxTokens: 5 });
      expect(second.text).toBe(answerTo(next, 5));
      expect(second.last!.numCachedTokens).toBe(keepsGenerated ? 239 : 199);
    }
  });

  it("loads from the store what lies behind what it holds", async () => {
    const connector = new FakeConnector();
    const { engine } = createEngine({ prefixCache, connector });
    const prompt = otherPrompt(320);
    await generate(engine, prompt, { maxTokens: 2 });
    engine.resetPrefixCache();
    await generate(engine, prompt.slice(0, 150), { maxTokens: 2 });
    const { text, last } = await generate(engine, prompt, { maxTokens: 5 });
    expect(text).toBe(answerTo(prompt, 5));
    expect(last!.numCachedTokens).toBe(319);
    expect(connector.numHeld).toBe(0);
  });

  it("gives right answers whatever came before, at any mix of prompts, aborts and cells", async () => {
    const turn = fc.record({
      seed: fc.nat({ max: 3 }),
      numShared: fc.nat({ max: 250 }),
      numOwn: fc.integer({ min: 1, max: 150 }),
      isAborted: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(turn, { minLength: 2, maxLength: 14 }), async (turns) => {
        const connector = new FakeConnector();
        const { engine } = createEngine({ prefixCache, connector, scheduler: { numCells: 900 } });
        const running = turns.map(async ({ seed, numShared, numOwn, isAborted }, index) => {
          const prompt = Int32Array.from([
            ...otherPrompt(numShared, seed),
            ...otherPrompt(numOwn, index),
          ]);
          const abort = new AbortController();
          if (isAborted) setTimeout(() => abort.abort(), index);
          try {
            const { text } = await generate(engine, prompt, { maxTokens: 8 }, abort.signal);
            expect(text).toBe(answerTo(prompt, 8));
          } catch (error) {
            if (!isAborted || !abort.signal.aborted) throw error;
          }
        });
        await Promise.all(running);
      }),
      { numRuns: 60 },
    );
  });
});

describe("LlmEngine.embed", () => {
  const embedding = {
    dimensions: 1,
    maxTokens: 100,
    passTokens: 10,
    numSequences: 2,
    canCut: true,
  } as const satisfies EmbeddingShape;

  it("computes one pass between two steps of those who generate", async () => {
    const { engine, runner } = createEngine({ embedding });
    const order: string[] = [];
    runner.beforeStep = async () => void order.push("step");
    runner.beforePass = async () => void order.push("pass");
    const answer = generate(engine, promptOf(5), { maxTokens: 20 });
    const texts = [promptOf(50), promptOf(30)];
    const vectors = await engine.embed(texts);
    expect(vectors).toEqual(texts.map((tokens) => Float32Array.from(tokens)));
    expect((await answer).text).toBe(answerTo(promptOf(5), 20));
    expect(order.filter((turn) => turn === "pass")).toHaveLength(8);
    // Before the first step the prompt is looked up in the cache.
    const beside = order.slice(order.indexOf("step"));
    expect(beside.join(" ")).not.toContain("pass pass");
  });

  it("works in an engine that has nothing else to do, again and again", async () => {
    const { engine } = createEngine({ embedding });
    for (let i = 1; i < 5; i++) {
      await new Promise(setImmediate);
      expect(await engine.embed([promptOf(i)])).toEqual([Float32Array.from(promptOf(i))]);
    }
  });

  it("rejects without embeddings, and when the engine is closed", async () => {
    await expect(createEngine().engine.embed([promptOf(1)])).rejects.toThrow(UsageError);
    const { engine } = createEngine({ embedding });
    const waiting = expect(engine.embed([promptOf(90)])).rejects.toThrow("closed");
    await engine[Symbol.asyncDispose]();
    await waiting;
    await expect(engine.embed([promptOf(1)])).rejects.toThrow("closed");
  });
});

describe("a prompt that is scored", () => {
  const scored = { numPromptLogprobs: 1, maxTokens: 4 };

  async function scoresOf(engine: LlmEngine, prompt: Int32Array): Promise<(readonly number[])[]> {
    const request = { id: `r${nextId++}`, promptTokens: prompt };
    const sampling = { ...defaultSamplingParams, ...scored };
    const deltas = await collect(engine.generate({ ...request, sampling }));
    expect(deltas.slice(1).every((delta) => delta.promptLogprobs === undefined)).toBe(true);
    expect(deltas[0]!.numCachedTokens).toBe(0);
    return deltas[0]!.promptLogprobs!.map(({ token, logprob }) => [token, -logprob]);
  }

  it.each([1, 2, 40, 64, 65, 66, 200, 500])("of %d tokens has them in order", async (length) => {
    const { engine } = createEngine();
    const prompt = promptOf(length);
    const expected = Array.from(prompt.subarray(1), (token, i) => [token, i + 1]);
    const texts = Promise.all([1, 2, 3].map((seed) => generate(engine, promptOf(300, seed))));
    if (length === 1) {
      const { last } = await generate(engine, prompt, scored);
      expect(last!.finishReason).toBeDefined();
    } else {
      expect(await scoresOf(engine, prompt)).toEqual(expected);
    }
    await texts;
  });

  it("is computed whole, whatever is stored of it, and stored for others", async () => {
    const connector = new FakeConnector();
    const { engine } = createEngine({ connector, prefixCache: { keepsGenerated: false } });
    const prompt = promptOf(300);
    const plain = await generate(engine, prompt);
    const expected = Array.from(prompt.subarray(1), (token, i) => [token, i + 1]);
    expect(await scoresOf(engine, prompt)).toEqual(expected);
    const again = await generate(engine, prompt);
    expect(again.text).toBe(plain.text);
    expect(again.last!.numCachedTokens).toBeGreaterThan(0);
  });
});

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}
