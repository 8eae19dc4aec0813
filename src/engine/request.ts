import { UsageError, publish } from "../core/index.ts";
import { DeltaQueue } from "./delta-queue.ts";
import type {
  FinishReason,
  GenerateRequest,
  GenerationDelta,
  PromptTokenLogprobs,
  TokenLogprobs,
} from "./engine.ts";
import type { SampledToken, ScoredToken } from "./model-runner.ts";
import { Sequence } from "./sequence.ts";
import { TextStream } from "./text-stream.ts";

/** What the request needs to know of the model to turn tokens into an answer. */
export interface TokenTexts {
  pieceOf(token: number): Uint8Array;
  /** With control tokens spelled out. */
  specialPieceOf(token: number): Uint8Array;
  textOf(token: number): string;
  isEndOfGeneration(token: number): boolean;
}

/** A sequence together with whoever waits for its answer. */
export class EngineRequest {
  readonly sequence: Sequence;
  readonly output: DeltaQueue = new DeltaQueue();
  /** Aborted when the client has gone, when the engine gives the request up, and at the end. */
  readonly abort: AbortController = new AbortController();
  readonly #text: TextStream;
  readonly #texts: TokenTexts;
  /** Of the prompt's tokens but the first. */
  readonly #scores: ScoredToken[] = [];
  #lastTokenMs: number | undefined;

  constructor(request: GenerateRequest, texts: TokenTexts, maxModelLen: number, arrivalMs: number) {
    if (request.promptTokens.length === 0) {
      throw new UsageError("The prompt is empty: wanted at least one token", { param: "prompt" });
    }
    if (request.promptTokens.length >= maxModelLen) {
      throw new UsageError(
        `This model's maximum context length is ${maxModelLen} tokens: the prompt has ${request.promptTokens.length}, ` +
          `which leaves no room for an answer`,
        { param: "prompt" },
      );
    }
    this.sequence = new Sequence(request, arrivalMs, maxModelLen);
    this.#text = new TextStream(request.sampling.stop, request.sampling.includesStop);
    this.#texts = texts;
  }

  /** Takes the scores of the tokens of the prompt from `start` on. After a preemption they come again. */
  score(scored: readonly ScoredToken[], start: number): void {
    for (const [i, token] of scored.entries()) this.#scores[start + i - 1] = token;
  }

  /** Takes the next token into the answer. @returns why this was the last one, or undefined */
  accept(sampled: SampledToken, nowMs: number): FinishReason | undefined {
    if (this.#lastTokenMs !== undefined) {
      publish("warmkv:request:token", { intervalMs: nowMs - this.#lastTokenMs });
    }
    this.#lastTokenMs = nowMs;
    const { sequence } = this;
    const { sampling } = sequence;
    const { token } = sampled;
    sequence.append(token);
    const isPastMinimum = sequence.numGenerated >= sampling.minTokens;
    const isStopToken = isPastMinimum && sampling.stopTokenIds.includes(token);
    const isEnd = isStopToken || (!sampling.ignoreEos && this.#texts.isEndOfGeneration(token));
    const isShown = !isEnd || (isStopToken && sampling.includesStop);
    let text = isShown ? this.#text.push(this.#pieceOf(token)) : "";
    const { stoppedBy } = this.#text;
    const finishReason =
      isEnd || stoppedBy !== undefined ? "stop" : sequence.numLeft <= 0 ? "length" : undefined;
    if (finishReason !== undefined) text += this.#text.end();
    const stopReason = stoppedBy ?? (isStopToken ? token : undefined);
    this.output.push({
      ...this.#delta(sampled, text, finishReason),
      ...(stopReason !== undefined && { stopReason }),
    });
    return finishReason;
  }

  #pieceOf(token: number): Uint8Array {
    return this.sequence.sampling.skipsSpecialTokens
      ? this.#texts.pieceOf(token)
      : this.#texts.specialPieceOf(token);
  }

  #delta(
    sampled: SampledToken,
    text: string,
    finishReason: FinishReason | undefined,
  ): GenerationDelta {
    return {
      text,
      tokens: [sampled.token],
      ...(this.sequence.numGenerated === 1 && this.#scores.length > 0
        ? { promptLogprobs: this.#scores.map((scored) => this.#promptLogprobs(scored)) }
        : {}),
      numCachedTokens: this.sequence.numCached,
      ...(finishReason === undefined ? {} : { finishReason }),
      ...(sampled.logprob === undefined ? {} : { logprobs: [this.#logprobs(sampled)] }),
    };
  }

  #promptLogprobs(scored: ScoredToken): PromptTokenLogprobs {
    return { ...this.#logprobs(scored), rank: scored.rank };
  }

  #logprobs(sampled: SampledToken): TokenLogprobs {
    return {
      token: sampled.token,
      text: this.#texts.textOf(sampled.token),
      logprob: sampled.logprob!,
      top: (sampled.top ?? []).map(([token, logprob]) => ({
        token,
        text: this.#texts.textOf(token),
        logprob,
      })),
    };
  }
}
