import type { EngineKvPart } from "../connector/connector.ts";
import type { SamplingParams } from "./sampling-params.ts";

/**
 * A model in its own thread. Calls are carried out in the order they are made; those without an answer
 * never fail.
 */
export interface ModelRunner extends AsyncDisposable {
  /** Why the thread is gone; undefined while it is there. */
  readonly failure: Error | undefined;

  /**
   * Steps: forward passes, each with a token for each item that asks for one. Each step but the first
   * computes the tokens that the one before has picked, without waiting for anybody. Ends early when another
   * call waits, and behind a step that was not "ok".
   *
   * @param numSteps more than 1: each item is one token and asks for the next
   * @param onStep gets the results in order, while the next step may be under way; not called after run() ended
   */
  run(
    items: readonly StepItem[],
    numSteps: number,
    onStep: (result: StepResult) => void,
  ): Promise<void>;

  /** Ends a run behind the step that is under way. */
  interrupt(): void;

  /** Makes what picks the tokens of a request. Kept until dropSampler. Rejects for a grammar that cannot be read */
  addSampler(samplerId: string, sampling: SamplingParams, promptTokens: Int32Array): Promise<void>;
  dropSampler(samplerId: string): void;

  /** Lets a sequence that is empty begin with the first tokens of another. They share the cells. */
  copy(from: number, to: number, numTokens: number): void;

  /** Forgets the positions from `start` on and frees their cells. */
  trim(sequence: number, start: number): void;

  /** See EngineKv. */
  extract(sequence: number, parts: readonly EngineKvPart[]): Promise<number[]>;
  restore(sequence: number, parts: readonly EngineKvPart[]): Promise<number>;

  /**
   * One forward pass of texts to embed, in a memory of their own. A text that goes on does so in the next
   * pass; what does not is forgotten.
   *
   * @returns a vector of length 1 for each item that is its text's last
   */
  embed(items: readonly EmbeddingItem[]): Promise<Float32Array[]>;
}

/** What a model's embeddings are, and how texts for them are to come. */
export interface EmbeddingShape {
  readonly dimensions: number;
  /** Of one text. */
  readonly maxTokens: number;
  /** Of one pass; a text that cannot be cut may be longer, and has its pass to itself. */
  readonly passTokens: number;
  /** Texts of one pass. */
  readonly numSequences: number;
  /** Whether a text may come in pieces: its tokens look back only. */
  readonly canCut: boolean;
}

/** Tokens of one text in one pass. */
export interface EmbeddingItem {
  readonly sequence: number;
  /** In the positions [start, start + tokens.length). */
  readonly tokens: Int32Array;
  readonly start: number;
  readonly isLast: boolean;
}

/** Tokens of one sequence in one step. */
export interface StepItem {
  /** Below the runner's number of sequences. */
  readonly sequence: number;
  /** In the positions [start, start + tokens.length). */
  readonly tokens: Int32Array;
  readonly start: number;
  /** Who picks the token that follows; undefined when the prompt goes on. */
  readonly samplerId: string | undefined;
  /** The adapter it is computed with, by its place among those the runner has; the same for all of a step. */
  readonly module: number | undefined;
  /** Never pick an end-of-generation token. */
  readonly suppressEnd: boolean;
  /** Alternatives to report; undefined for none. */
  readonly numLogprobs: number | undefined;
  /** What follows each of the tokens, to be scored; undefined: nothing is. At most MAX_SCORED_TOKENS in a step. */
  readonly scores?: { readonly following: Int32Array; readonly numTop: number } | undefined;
}

export interface StepResult {
  /** In the order of the items that had a sampler. */
  readonly sampled: readonly SampledToken[];
  /** For each item that had something to score. */
  readonly scored?: readonly (readonly ScoredToken[])[] | undefined;
  /**
   * - "ok"
   * - "full": too few free cells; nothing was computed
   * - "failed": the pass failed; the memory of its sequences is not to be trusted
   */
  readonly status: "ok" | "full" | "failed";
}

/** Each takes the logits of a whole vocabulary in the model's working memory. */
export const MAX_SCORED_TOKENS = 127;

/** A token that was there already. */
export interface ScoredToken extends SampledToken {
  readonly logprob: number;
  /** 1: the likeliest of all. */
  readonly rank: number;
}

export interface SampledToken {
  readonly token: number;
  readonly logprob?: number | undefined;
  /** Token ids and their log probabilities, best first. */
  readonly top?: readonly (readonly [number, number])[] | undefined;
}
