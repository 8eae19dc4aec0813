import { randomUUID } from "node:crypto";
import type { CacheEngine, CacheStats } from "../cache/index.ts";
import { type CacheOptions, loadCacheConfig } from "../config/index.ts";
import { type Logger, UsageError, silentLogger } from "../core/index.ts";
import {
  type ChatMessage,
  ChatTemplate,
  type Engine,
  type EngineStats,
  type ModelInfo,
  type SamplingParams,
  defaultSamplingParams,
} from "../engine/index.ts";
import { openModel } from "./open-model.ts";

export interface LLMOptions {
  /** Settings of the KV cache, as in docs/configuration.md in camel case; false: no cache. */
  readonly cache?: CacheOptions | false | undefined;
  /** Longest prompt plus answer, in tokens. */
  readonly maxModelLen?: number | undefined;
  /** Requests computed at the same time. Default 8. */
  readonly maxNumSeqs?: number | undefined;
  /** KV cells of all requests together. */
  readonly ctxSize?: number | undefined;
  /** Threads that compute. Default: the cores less one. */
  readonly threads?: number | undefined;
  /** Layers on a GPU. Default: all, where there is one. */
  readonly gpuLayers?: number | undefined;
  /** Element type of the KV: f16, q8_0, ... */
  readonly kvCacheDtype?: string | undefined;
  /** A Jinja template in place of the model's own. */
  readonly chatTemplate?: string | undefined;
  /** Default: silent. */
  readonly logger?: Logger | undefined;
}

/** `maxTokens` defaults to what the context has room for. */
export interface GenerateOptions extends Partial<SamplingParams> {
  readonly signal?: AbortSignal | undefined;
  /** Keeps tenants apart: equal prompts under different salts share no KV. */
  readonly cacheSalt?: string | undefined;
}

/** How an answer came about. Filled in while it is read. */
export interface Answer extends AsyncIterable<string> {
  /** Prompt tokens that were reused and not computed; undefined until the first text. */
  readonly numCachedTokens: number | undefined;
  readonly numTokens: number;
  readonly finishReason: "stop" | "length" | undefined;
}

/**
 * A model in this process, with its KV kept warm.
 *
 * @example
 * await using llm = await LLM.load("model.gguf", { cache: { maxLocalCpuSize: "5GiB" } });
 * for await (const text of llm.generate(prompt, { maxTokens: 200 })) process.stdout.write(text);
 */
export class LLM implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #cache: CacheEngine | undefined;
  readonly #template: ChatTemplate | undefined;

  /**
   * @param model a path to a .gguf file, or synth:25m
   * @throws UsageError for a name or settings that cannot be
   */
  static async load(model: string, options: LLMOptions = {}): Promise<LLM> {
    const { cache = {}, logger = silentLogger, ctxSize, threads, gpuLayers } = options;
    const opened = await openModel({
      ...options,
      model,
      numCells: ctxSize,
      numThreads: threads,
      numGpuLayers: gpuLayers,
      cache: cache === false ? undefined : { config: readConfig(cache, logger) },
      logger,
    });
    return new LLM(opened.engine, opened.cache);
  }

  private constructor(engine: Engine, cache: CacheEngine | undefined) {
    this.#engine = engine;
    this.#cache = cache;
    const source = engine.model.chatTemplate;
    if (source !== undefined) this.#template = new ChatTemplate(source, engine.model);
  }

  get model(): ModelInfo {
    return this.#engine.model;
  }

  /** Continues a text, or token ids. Leaving the loop ends the request. */
  generate(prompt: string | Int32Array, options: GenerateOptions = {}): Answer {
    return new EngineAnswer(this.#engine, () => this.#promptTokens(prompt), options);
  }

  /** Answers a conversation by the model's chat template. */
  chat(messages: readonly ChatMessage[], options: GenerateOptions = {}): Answer {
    if (this.#template === undefined) {
      throw new UsageError("The model has no chat template: give one as the option chatTemplate", {
        param: "chatTemplate",
      });
    }
    const text = this.#template.render(messages);
    return new EngineAnswer(this.#engine, () => this.#promptTokens(text), options);
  }

  /** Text to token ids, with the special tokens that the model puts around a prompt. */
  tokenize(text: string): Promise<Int32Array> {
    return this.#engine.tokenize(text, { addSpecial: true, parseSpecial: true });
  }

  detokenize(tokens: Int32Array): string {
    return this.#engine.detokenize(tokens);
  }

  stats(): { readonly engine: EngineStats; readonly cache: CacheStats | undefined } {
    return { engine: this.#engine.stats(), cache: this.#cache?.stats() };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#engine[Symbol.asyncDispose]());
  }

  async #promptTokens(prompt: string | Int32Array): Promise<Int32Array> {
    return typeof prompt === "string" ? this.tokenize(prompt) : prompt;
  }
}

/** The environment does not decide for a library: only what it was given. */
function readConfig(
  cache: CacheOptions,
  logger: Logger,
): ReturnType<typeof loadCacheConfig>["config"] {
  const { config, warnings } = loadCacheConfig({ env: {}, cwd: process.cwd(), overrides: cache });
  for (const warning of warnings) logger.warn(warning);
  return config;
}

class EngineAnswer implements Answer {
  numCachedTokens: number | undefined;
  numTokens = 0;
  finishReason: "stop" | "length" | undefined;
  readonly #engine: Engine;
  readonly #prompt: () => Promise<Int32Array>;
  readonly #options: GenerateOptions;

  constructor(engine: Engine, prompt: () => Promise<Int32Array>, options: GenerateOptions) {
    this.#engine = engine;
    this.#prompt = prompt;
    this.#options = options;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    const { signal, cacheSalt, ...sampling } = this.#options;
    checkSampling(sampling);
    const request = {
      id: randomUUID(),
      promptTokens: await this.#prompt(),
      sampling: {
        ...defaultSamplingParams,
        maxTokens: this.#engine.model.maxModelLen,
        ...sampling,
      },
      cacheSalt,
    };
    for await (const delta of this.#engine.generate(request, signal)) {
      this.numCachedTokens = delta.numCachedTokens;
      this.numTokens += delta.tokens.length;
      this.finishReason = delta.finishReason;
      if (delta.text !== "") yield delta.text;
    }
  }
}

/** The sampling options that are numbers, and what each may be. */
const NUMBERS: Readonly<Record<string, readonly [min: number, max: number]>> = {
  temperature: [0, 100],
  topP: [0, 1],
  minP: [0, 1],
  presencePenalty: [-2, 2],
  frequencyPenalty: [-2, 2],
  repetitionPenalty: [0.01, 100],
};
/** Whole numbers. */
const COUNTS: Readonly<Record<string, number>> = { maxTokens: 1, minTokens: 0, numLogprobs: 0 };

/** Plain JavaScript has no types to keep a wrong option out. */
function checkSampling(sampling: Partial<SamplingParams>): void {
  for (const [name, value] of Object.entries(sampling)) {
    if (!Object.hasOwn(defaultSamplingParams, name)) {
      const known = Object.keys(defaultSamplingParams).join(", ");
      throw new UsageError(`Unknown option "${name}": wanted one of ${known}`, { param: name });
    }
    if (value === undefined) continue;
    const range = NUMBERS[name];
    if (range && !(typeof value === "number" && value >= range[0] && value <= range[1])) {
      throw new UsageError(
        `Cannot use ${name} ${JSON.stringify(value)}: wanted a number from ${range[0]} to ${range[1]}`,
        { param: name },
      );
    }
    const min = COUNTS[name];
    if (min !== undefined && !(Number.isInteger(value) && (value as number) >= min)) {
      throw new UsageError(
        `Cannot use ${name} ${JSON.stringify(value)}: wanted a whole number, at least ${min}`,
        { param: name },
      );
    }
  }
}
