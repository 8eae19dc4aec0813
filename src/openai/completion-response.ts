import type { FinishReason, GenerationDelta } from "../engine/index.ts";
import { completionLogprobs, promptLogprobs } from "./logprobs.ts";
import type { CompletionLogprobs, PromptLogprobs, UnscoredToken } from "./logprobs.ts";
import { choiceExtras } from "./response.ts";
import type { Answer, AnswerWriter, ChoiceExtras, ResponseHead, WriterExtras } from "./response.ts";
import type { Usage } from "./usage.ts";

export interface CompletionResponse extends ResponseHead {
  readonly object: "text_completion";
  readonly choices: readonly CompletionChoice[];
  readonly usage?: Usage | null;
}

export interface CompletionChoice extends ChoiceExtras {
  readonly index: number;
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  /** Null in every chunk of a stream but the last. */
  readonly finish_reason: FinishReason | null;
  readonly prompt_token_ids?: readonly number[];
  readonly prompt_logprobs?: PromptLogprobs;
}

export interface CompletionWriterOptions extends WriterExtras {
  /** What `echo` puts in front of each choice. */
  readonly echoes: readonly string[];
  readonly hasLogprobs: boolean;
  /** By choice, where the tokens of the echo are scored, too: the first one, which has no score. */
  readonly firstTokens?: readonly UnscoredToken[] | undefined;
}

/** Writes the answers of /v1/completions, whole or in chunks. */
export class CompletionWriter implements AnswerWriter {
  readonly #head: ResponseHead;
  readonly #options: CompletionWriterOptions;
  /** By choice: where the next token begins in the text that log probabilities are told of. */
  readonly #offsets: number[];

  constructor(head: ResponseHead, options: CompletionWriterOptions) {
    this.#head = head;
    this.#options = options;
    this.#offsets = options.echoes.map(() => 0);
  }

  firstChunks(index: number): CompletionResponse[] {
    const text = this.#options.echoes[index]!;
    const firstToken = this.#options.firstTokens?.[index];
    const ids = this.#options.promptTokenIds?.[index];
    if (text === "" && firstToken === undefined && ids === undefined) return [];
    const logprobs =
      firstToken === undefined
        ? null
        : completionLogprobs([firstToken], 0, this.#options.tokenName);
    this.#offsets[index] = firstToken?.text.length ?? 0;
    const choice = { index, text, logprobs, finish_reason: null };
    return [this.#chunk(ids === undefined ? choice : { ...choice, prompt_token_ids: ids })];
  }

  chunks(index: number, delta: GenerationDelta): CompletionResponse[] {
    const { text, finishReason } = delta;
    const { promptTokenIds, tokenName, firstTokens } = this.#options;
    const ofPrompt = firstTokens === undefined ? [] : (delta.promptLogprobs ?? []);
    const entries = [...ofPrompt, ...(delta.logprobs ?? [])];
    const hasEntries = entries.length > 0;
    const isEmpty = text === "" && !hasEntries && finishReason === undefined;
    if (isEmpty && promptTokenIds === undefined) return [];
    const logprobs = hasEntries
      ? completionLogprobs(entries, this.#offsets[index]!, tokenName)
      : null;
    this.#offsets[index]! += entries.reduce((sum, entry) => sum + entry.text.length, 0);
    const extras = choiceExtras(delta, this.#options);
    return [this.#chunk({ index, text, logprobs, finish_reason: finishReason ?? null, ...extras })];
  }

  usageChunk(usage: Usage): CompletionResponse {
    return { ...this.#head, object: "text_completion", choices: [], usage };
  }

  whole(answers: readonly Answer[], usage: Usage): CompletionResponse {
    const { echoes, hasLogprobs, hasPromptLogprobs, firstTokens } = this.#options;
    const { promptTokenIds, tokenName } = this.#options;
    const choices = answers.map((answer, index) => {
      const firstToken = firstTokens?.[index];
      const ofPrompt = answer.promptLogprobs ?? [];
      const entries =
        firstToken === undefined ? answer.logprobs : [firstToken, ...ofPrompt, ...answer.logprobs];
      return {
        index,
        text: echoes[index]! + answer.text,
        logprobs: hasLogprobs ? completionLogprobs(entries, 0, tokenName) : null,
        finish_reason: answer.finishReason,
        ...choiceExtras(answer, this.#options),
        ...(hasPromptLogprobs === true && { prompt_logprobs: promptLogprobs(ofPrompt) }),
        ...(promptTokenIds !== undefined && { prompt_token_ids: promptTokenIds[index]! }),
      };
    });
    return { ...this.#head, object: "text_completion", choices, usage };
  }

  #chunk(choice: CompletionChoice): CompletionResponse {
    return { ...this.#head, object: "text_completion", choices: [choice] };
  }
}
