import type { LoraModule } from "./lora-module.ts";
import type { SamplingParams } from "./sampling-params.ts";

/** A loaded model that answers token ids with text. What servers, the library and benchmarks talk to. */
export interface Engine extends AsyncDisposable {
  readonly model: ModelInfo;
  /** Why it can answer no longer; undefined while it can. */
  readonly failure: Error | undefined;

  /**
   * @param options.addSpecial the model's own BOS and EOS, where its metadata asks for them
   * @param options.parseSpecial read "<|im_end|>" and the like as control tokens
   */
  tokenize(
    text: string,
    options: { readonly addSpecial: boolean; readonly parseSpecial: boolean },
  ): Promise<Int32Array>;
  detokenize(tokens: Int32Array): string;

  /**
   * Runs one request. Deltas come as text is known to be whole: incomplete UTF-8 and the start of a
   * possible stop string are held back. The last delta has a finishReason.
   *
   * Aborting `signal` or leaving the loop drops the sequence and frees its cells within one step.
   *
   * @throws UsageError when the prompt is empty or does not fit
   * @throws QueueFullError when too many requests are waiting already
   */
  generate(
    request: GenerateRequest,
    signal?: AbortSignal,
  ): AsyncGenerator<GenerationDelta, void, undefined>;

  /**
   * Turns texts into vectors of length 1: see ModelInfo.embedding.
   *
   * @throws UsageError when the model makes none, or a text is empty or too long
   * @throws QueueFullError when too many requests are waiting already
   */
  embed(texts: readonly Int32Array[], signal?: AbortSignal): Promise<Float32Array[]>;

  /** Forgets the KV of prompts that are over and still lie in the engine's cells. */
  resetPrefixCache(): void;

  stats(): EngineStats;
}

export interface GenerateRequest {
  readonly id: string;
  readonly promptTokens: Int32Array;
  readonly sampling: SamplingParams;
  readonly cacheSalt?: string | undefined;
  /** Per-request cache settings, keys as LMCache writes them ("lmcache.skip_save"). */
  readonly kvTransferParams?: Readonly<Record<string, unknown>> | undefined;
  /** The LoRA module that applies, by name. Default: none. */
  readonly module?: string | undefined;
  /** Lower runs first. Default 0. */
  readonly priority?: number | undefined;
}

export interface GenerationDelta {
  /** May be empty: a token whose bytes are not yet a whole character. */
  readonly text: string;
  readonly tokens: readonly number[];
  /** Of each token of the prompt but the first, in the first delta, where they were asked for. */
  readonly promptLogprobs?: readonly PromptTokenLogprobs[] | undefined;
  readonly logprobs?: readonly TokenLogprobs[] | undefined;
  readonly finishReason?: FinishReason | undefined;
  /** Which of the request's stop strings or stop tokens ended the answer, if one did. */
  readonly stopReason?: string | number | undefined;
  /** Prompt tokens that were reused and not computed. The same in every delta. */
  readonly numCachedTokens: number;
}

export type FinishReason = "stop" | "length";

export interface TokenLogprobs {
  readonly token: number;
  readonly text: string;
  readonly logprob: number;
  /** The most likely tokens, best first. */
  readonly top: readonly {
    readonly token: number;
    readonly text: string;
    readonly logprob: number;
  }[];
}

export interface PromptTokenLogprobs extends TokenLogprobs {
  /** 1: the likeliest of all tokens. */
  readonly rank: number;
}

export interface ModelInfo {
  /** As the user named it. */
  readonly name: string;
  /** "llama", "qwen3", "gemma3", ... */
  readonly architecture: string;
  /** Longest prompt plus answer, in tokens. */
  readonly maxModelLen: number;
  readonly vocabSize: number;
  readonly numParameters: number;
  readonly chatTemplate: string | undefined;
  /** Texts of the special tokens, for chat templates; "" where the model has none. */
  readonly bosText: string;
  readonly eosText: string;
  /** Whether tokenize with addSpecial puts a BOS in front. */
  readonly addsBos: boolean;
  /** Undefined: it makes none. */
  readonly embedding?: EmbeddingInfo | undefined;
  /** What requests may ask for. Default: none. */
  readonly modules?: readonly LoraModule[] | undefined;
}

export interface EmbeddingInfo {
  readonly dimensions: number;
  /** Of one text. */
  readonly maxTokens: number;
  /** Whether the model makes embeddings and nothing else. */
  readonly isAll: boolean;
}

/** Levels now. */
export interface EngineStats {
  readonly numRunning: number;
  readonly numWaiting: number;
  /** Names of the LoRA modules that requests in the engine, and requests in the queue, have asked for. */
  readonly runningModules: readonly string[];
  readonly waitingModules: readonly string[];
  /** KV cells of the engine in use, and all. */
  readonly numUsedCells: number;
  readonly numCells: number;
}

/** Too many requests are waiting: try again later. */
export class QueueFullError extends Error {
  override readonly name = "QueueFullError";
  readonly code = "queue_full";
}
