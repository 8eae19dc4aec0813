import type { FinishReason, GenerationDelta } from "../engine/index.ts";
import { completionLogprobs } from "./logprobs.ts";
import type { CompletionLogprobs } from "./logprobs.ts";
import type { Answer, AnswerWriter, ResponseHead } from "./response.ts";
import type { Usage } from "./usage.ts";

export interface CompletionResponse extends ResponseHead {
  readonly object: "text_completion";
  readonly choices: readonly CompletionChoice[];
  readonly usage?: Usage | null;
}

export interface CompletionChoice {
  readonly index: number;
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  /** Null in every chunk of a stream but the last. */
  readonly finish_reason: FinishReason | null;
}

/** Writes the answers of /v1/completions, whole or in chunks. */
export class CompletionWriter implements AnswerWriter {
  readonly #head: ResponseHead;
  /** What `echo` puts in front of each choice. */
  readonly #echoes: readonly string[];
  readonly #hasLogprobs: boolean;
  readonly #textLengths: number[];

  constructor(head: ResponseHead, echoes: readonly string[], hasLogprobs: boolean) {
    this.#head = head;
    this.#echoes = echoes;
    this.#hasLogprobs = hasLogprobs;
    this.#textLengths = echoes.map(() => 0);
  }

  firstChunks(index: number): CompletionResponse[] {
    const text = this.#echoes[index]!;
    return text === "" ? [] : [this.#chunk({ index, text, logprobs: null, finish_reason: null })];
  }

  chunks(index: number, delta: GenerationDelta): CompletionResponse[] {
    const { text, logprobs: entries, finishReason } = delta;
    const hasEntries = entries !== undefined && entries.length > 0;
    if (text === "" && !hasEntries && finishReason === undefined) return [];
    const logprobs = hasEntries ? completionLogprobs(entries, this.#textLengths[index]!) : null;
    this.#textLengths[index]! += text.length;
    return [this.#chunk({ index, text, logprobs, finish_reason: finishReason ?? null })];
  }

  usageChunk(usage: Usage): CompletionResponse {
    return { ...this.#head, object: "text_completion", choices: [], usage };
  }

  whole(answers: readonly Answer[], usage: Usage): CompletionResponse {
    const choices = answers.map((answer, index) => ({
      index,
      text: this.#echoes[index]! + answer.text,
      logprobs: this.#hasLogprobs ? completionLogprobs(answer.logprobs, 0) : null,
      finish_reason: answer.finishReason,
    }));
    return { ...this.#head, object: "text_completion", choices, usage };
  }

  #chunk(choice: CompletionChoice): CompletionResponse {
    return { ...this.#head, object: "text_completion", choices: [choice] };
  }
}
