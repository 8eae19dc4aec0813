import type { FinishReason, GenerationDelta } from "../engine/index.ts";
import { chatLogprobs } from "./logprobs.ts";
import type { ChatLogprobs } from "./logprobs.ts";
import type { Answer, AnswerWriter, ResponseHead } from "./response.ts";
import type { Usage } from "./usage.ts";

export interface ChatResponse extends ResponseHead {
  readonly object: "chat.completion";
  readonly choices: readonly {
    readonly index: number;
    readonly message: {
      readonly role: "assistant";
      readonly content: string;
      readonly refusal: null;
    };
    readonly logprobs: ChatLogprobs | null;
    readonly finish_reason: FinishReason;
  }[];
  readonly usage: Usage;
}

export interface ChatChunk extends ResponseHead {
  readonly object: "chat.completion.chunk";
  readonly choices: readonly ChatChunkChoice[];
  readonly usage?: Usage | null;
}

export interface ChatChunkChoice {
  readonly index: number;
  /** The role comes first and alone, then text; empty beside a finish_reason. */
  readonly delta: { readonly role?: "assistant"; readonly content?: string };
  readonly logprobs: ChatLogprobs | null;
  readonly finish_reason: FinishReason | null;
}

/** Writes the answers of /v1/chat/completions, whole or in chunks. */
export class ChatWriter implements AnswerWriter {
  readonly #head: ResponseHead;
  readonly #hasLogprobs: boolean;

  constructor(head: ResponseHead, hasLogprobs: boolean) {
    this.#head = head;
    this.#hasLogprobs = hasLogprobs;
  }

  firstChunks(index: number): ChatChunk[] {
    const delta = { role: "assistant", content: "" } as const;
    return [this.#chunk({ index, delta, logprobs: null, finish_reason: null })];
  }

  chunks(index: number, delta: GenerationDelta): ChatChunk[] {
    const { text: content, logprobs: entries, finishReason } = delta;
    const chunks: ChatChunk[] = [];
    const hasEntries = entries !== undefined && entries.length > 0;
    if (content !== "" || hasEntries) {
      const logprobs = hasEntries ? chatLogprobs(entries) : null;
      chunks.push(this.#chunk({ index, delta: { content }, logprobs, finish_reason: null }));
    }
    if (finishReason !== undefined) {
      chunks.push(this.#chunk({ index, delta: {}, logprobs: null, finish_reason: finishReason }));
    }
    return chunks;
  }

  usageChunk(usage: Usage): ChatChunk {
    return { ...this.#head, object: "chat.completion.chunk", choices: [], usage };
  }

  whole(answers: readonly Answer[], usage: Usage): ChatResponse {
    const choices = answers.map((answer, index) => ({
      index,
      message: { role: "assistant", content: answer.text, refusal: null } as const,
      logprobs: this.#hasLogprobs ? chatLogprobs(answer.logprobs) : null,
      finish_reason: answer.finishReason,
    }));
    return { ...this.#head, object: "chat.completion", choices, usage };
  }

  #chunk(choice: ChatChunkChoice): ChatChunk {
    return { ...this.#head, object: "chat.completion.chunk", choices: [choice] };
  }
}
