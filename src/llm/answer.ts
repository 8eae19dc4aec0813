import { randomUUID } from "node:crypto";
import {
  type Engine,
  type GenerationDelta,
  type SamplingParams,
  defaultSamplingParams,
} from "../engine/index.ts";
import { checkSampling } from "./check-sampling.ts";

/** How to sample; what is not given, or undefined, has OpenAI's default. */
export type SamplingOptions = {
  readonly [Name in keyof SamplingParams]?: SamplingParams[Name] | undefined;
};

/** `maxTokens` defaults to what the context has room for. */
export interface GenerateOptions extends SamplingOptions {
  readonly signal?: AbortSignal | undefined;
  /** Keeps tenants apart: equal prompts under different salts share no KV. */
  readonly cacheSalt?: string | undefined;
  /** One of the `loraModules`. Default: none. */
  readonly module?: string | undefined;
  /** Lower runs first. Default 0. */
  readonly priority?: number | undefined;
}

/** An answer, computed while it is read, and how it came about. Each reading is a request of its own. */
export interface Answer extends AsyncIterable<string> {
  /** Reads it to its end. */
  text(): Promise<string>;
  /** Reads it step by step, with token ids and the log probabilities that `numLogprobs` asks for. */
  deltas(): AsyncGenerator<GenerationDelta, void, undefined>;
  /** Prompt tokens that were reused and not computed; undefined until the first text. */
  readonly numCachedTokens: number | undefined;
  readonly numTokens: number;
  readonly finishReason: "stop" | "length" | undefined;
}

export class EngineAnswer implements Answer {
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
    for await (const { text } of this.deltas()) {
      if (text !== "") yield text;
    }
  }

  async text(): Promise<string> {
    let text = "";
    for await (const piece of this) text += piece;
    return text;
  }

  async *deltas(): AsyncGenerator<GenerationDelta, void, undefined> {
    const { signal, cacheSalt, module, priority, ...sampling } = this.#options;
    checkSampling(sampling);
    this.numTokens = 0;
    const request = {
      id: randomUUID(),
      promptTokens: await this.#prompt(),
      sampling: {
        ...defaultSamplingParams,
        maxTokens: this.#engine.model.maxModelLen,
        ...defined(sampling),
      },
      cacheSalt,
      module,
      priority,
    };
    for await (const delta of this.#engine.generate(request, signal)) {
      this.numCachedTokens = delta.numCachedTokens;
      this.numTokens += delta.tokens.length;
      this.finishReason = delta.finishReason;
      yield delta;
    }
  }
}

function defined(options: SamplingOptions): Partial<SamplingParams> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
