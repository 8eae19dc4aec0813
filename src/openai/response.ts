import type { FinishReason, GenerationDelta, TokenLogprobs } from "../engine/index.ts";
import type { Usage } from "./usage.ts";

/** What every answer and every chunk of a stream begins with. */
export interface ResponseHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  /** The model as the request named it. */
  readonly model: string;
}

/** One finished choice. */
export interface Answer {
  readonly text: string;
  readonly logprobs: readonly TokenLogprobs[];
  readonly finishReason: FinishReason;
}

/**
 * Gives answers the shape of one endpoint. A stream is, for each choice, `firstChunks` once and `chunks`
 * for each delta, then one `usageChunk` if the client asked for it.
 */
export interface AnswerWriter {
  firstChunks(choiceIndex: number): Chunk[];
  /** None for a delta that tells the client nothing yet. */
  chunks(choiceIndex: number, delta: GenerationDelta): Chunk[];
  usageChunk(usage: Usage): Chunk;
  /** @param answers one for each choice, in order */
  whole(answers: readonly Answer[], usage: Usage): object;
}

export interface Chunk extends ResponseHead {
  readonly usage?: Usage | null;
}
