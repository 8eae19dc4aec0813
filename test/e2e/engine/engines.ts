import { expect } from "vitest";
import { type CacheOptions, loadCacheConfig } from "../../../src/config/index.ts";
import { createConnector } from "../../../src/connector/index.ts";
import type { EngineKvLayout, KvConnector } from "../../../src/connector/index.ts";
import type { CacheEngine } from "../../../src/cache/index.ts";
import { type Logger, silentLogger } from "../../../src/core/index.ts";
import {
  type Engine,
  type GenerationDelta,
  type LlamaEngineOptions,
  type SamplingParams,
  defaultSamplingParams,
  loadLlamaEngine,
} from "../../../src/engine/index.ts";
import { resolveModel } from "../../../src/models/index.ts";

export interface TestEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly cache: CacheEngine | undefined;
}

/** One thread, so that equal batches give equal bits. */
export async function openEngine(
  options: Partial<LlamaEngineOptions> & {
    readonly model?: string;
    readonly cacheOptions?: CacheOptions | undefined;
    readonly logger?: Logger;
  } = {},
): Promise<TestEngine> {
  const { model = "synth:1m", cacheOptions, logger = silentLogger } = options;
  const { path, fingerprint } = await resolveModel(model);
  let cache: CacheEngine | undefined;
  const connect = async (layout: EngineKvLayout): Promise<KvConnector> => {
    const { config } = loadCacheConfig({ env: {}, cwd: process.cwd(), overrides: cacheOptions });
    const connected = await createConnector({ config, layout, logger });
    cache = connected.cache;
    return connected.connector;
  };
  const engine = await loadLlamaEngine({
    maxModelLen: 4096,
    numCells: 16_384,
    numThreads: 1,
    // Warm is to be out of the tiers, not out of the engine's own cells.
    enablePrefixCaching: false,
    logger,
    ...options,
    modelPath: path,
    modelName: model,
    weightsFingerprint: fingerprint,
    connect: cacheOptions && connect,
  });
  return { engine, cache, [Symbol.asyncDispose]: async () => engine[Symbol.asyncDispose]() };
}

export interface TestAnswer {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly numCachedTokens: number;
  /** Of each token, of the best five: enough of the logits to see a changed bit. */
  readonly logprobs: readonly (readonly number[])[];
}

let nextId = 0;

/** A greedy answer. */
export async function answer(
  engine: Engine,
  promptTokens: Int32Array,
  sampling: Partial<SamplingParams> = {},
  extra: { cacheSalt?: string; signal?: AbortSignal } = {},
): Promise<TestAnswer> {
  const { cacheSalt, signal } = extra;
  const deltas: GenerationDelta[] = [];
  const request = {
    id: `test-${nextId++}`,
    promptTokens,
    cacheSalt,
    sampling: {
      ...defaultSamplingParams,
      temperature: 0,
      maxTokens: 12,
      numLogprobs: 5,
      ...sampling,
    },
  };
  for await (const delta of engine.generate(request, signal)) deltas.push(delta);
  return {
    text: deltas.map((delta) => delta.text).join(""),
    tokens: deltas.flatMap((delta) => delta.tokens),
    numCachedTokens: deltas.at(-1)?.numCachedTokens ?? 0,
    logprobs: deltas
      .flatMap((delta) => delta.logprobs ?? [])
      .map(({ top }) => top.map((each) => each.logprob)),
  };
}

/** Printable tokens that do not repeat with any short period. */
export function promptOf(length: number, seed = 1): Int32Array {
  let state = seed * 2_654_435_761;
  return Int32Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 32 + ((state >>> 8) % 95);
  });
}

/**
 * The same answer as far as rounding allows: equal tokens with equal log probabilities, up to a place where
 * the two best tokens are as good as equal.
 */
export function expectSameUpToRounding(
  actual: TestAnswer,
  expected: TestAnswer,
  tolerance: number,
): void {
  for (const [i, token] of expected.tokens.entries()) {
    const [best, second] = expected.logprobs[i] as [number, number];
    if (actual.tokens[i] !== token) {
      expect(best - second, `token ${i} differs and was no tie`).toBeLessThan(tolerance);
      return;
    }
    expect(Math.abs(actual.logprobs[i]![0]! - best), `logprob of token ${i}`).toBeLessThan(
      tolerance,
    );
  }
}
