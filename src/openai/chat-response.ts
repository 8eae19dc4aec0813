import type { FinishReason, GenerationDelta } from "../engine/index.ts";
import { chatLogprobs, promptLogprobs } from "./logprobs.ts";
import type { ChatLogprobs, PromptLogprobs } from "./logprobs.ts";
import type { AnswerParser, MessagePart } from "./message-parser.ts";
import { choiceExtras } from "./response.ts";
import type { Answer, AnswerWriter, ChoiceExtras, ResponseHead, WriterExtras } from "./response.ts";
import type { Usage } from "./usage.ts";

type ChatFinishReason = FinishReason | "tool_calls";

export interface ChatResponse extends ResponseHead {
  readonly object: "chat.completion";
  readonly choices: readonly ChatChoice[];
  readonly usage: Usage;
  readonly prompt_logprobs?: PromptLogprobs;
  readonly prompt_token_ids?: readonly number[];
}

interface ChatChoice extends ChoiceExtras {
  readonly index: number;
  readonly message: ChatResponseMessage;
  readonly logprobs: ChatLogprobs | null;
  readonly finish_reason: ChatFinishReason;
}

interface ChatResponseMessage {
  readonly role: "assistant";
  /** Null when there are tool calls and nothing else. */
  readonly content: string | null;
  readonly refusal: null;
  /** What the model thought before it spoke, as DeepSeek, vLLM and llama-server name it. */
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCall[];
}

interface ToolCall {
  readonly id: string;
  readonly type: "function";
  /** The arguments are JSON, as a text. */
  readonly function: { readonly name: string; readonly arguments: string };
}

export interface ChatChunk extends ResponseHead {
  readonly object: "chat.completion.chunk";
  readonly choices: readonly ChatChunkChoice[];
  readonly usage?: Usage | null;
  readonly prompt_token_ids?: readonly number[];
}

export interface ChatChunkChoice extends ChoiceExtras {
  readonly index: number;
  /** The role comes first, then the parts of the message; empty beside a finish_reason. */
  readonly delta: ChatDelta;
  readonly logprobs: ChatLogprobs | null;
  readonly finish_reason: ChatFinishReason | null;
}

interface ChatDelta {
  readonly role?: "assistant";
  readonly content?: string;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCallDelta[];
}

interface ToolCallDelta {
  readonly index: number;
  /** Id, type and name come with the first part of a call. */
  readonly id?: string;
  readonly type?: "function";
  readonly function: { readonly name?: string; readonly arguments: string };
}

export interface ChatWriterOptions extends WriterExtras {
  readonly hasLogprobs: boolean;
  /** Makes what takes one answer apart. */
  readonly newParser: () => AnswerParser;
  readonly includesReasoning: boolean;
  /** What `echo` puts in front of each answer's content. */
  readonly echo?: string | undefined;
}

/** Writes the answers of /v1/chat/completions, whole or in chunks. */
export class ChatWriter implements AnswerWriter {
  readonly #head: ResponseHead;
  readonly #options: ChatWriterOptions;
  /** By choice. */
  readonly #parsers: AnswerParser[] = [];

  constructor(head: ResponseHead, options: ChatWriterOptions) {
    this.#head = head;
    this.#options = options;
  }

  firstChunks(index: number): ChatChunk[] {
    const delta = { role: "assistant", content: this.#options.echo ?? "" } as const;
    const chunk = this.#chunk({ index, delta, logprobs: null, finish_reason: null });
    return [{ ...chunk, ...this.#promptTokenIds(index) }];
  }

  chunks(index: number, delta: GenerationDelta): ChatChunk[] {
    const { text, logprobs: entries, finishReason } = delta;
    const parser = (this.#parsers[index] ??= this.#options.newParser());
    const parts = parser.push(text);
    if (finishReason !== undefined) parts.push(...parser.end());
    const deltas = this.#shown(parts).map(deltaOf);
    const hasEntries = entries !== undefined && entries.length > 0;
    const { promptTokenIds, tokenName } = this.#options;
    const hasMore = hasEntries || promptTokenIds !== undefined;
    if (hasMore && deltas.length === 0) deltas.push({ content: "" });
    const chunks = deltas.map((part, i) => {
      const logprobs = hasEntries && i === 0 ? chatLogprobs(entries, tokenName) : null;
      const extras = choiceExtras({ tokens: i === 0 ? delta.tokens : [] }, this.#options);
      return this.#chunk({ index, delta: part, logprobs, finish_reason: null, ...extras });
    });
    if (finishReason !== undefined) {
      const finish_reason = reasonOf(finishReason, parser);
      const extras = choiceExtras({ stopReason: delta.stopReason, tokens: [] }, this.#options);
      chunks.push(this.#chunk({ index, delta: {}, logprobs: null, finish_reason, ...extras }));
    }
    return chunks;
  }

  usageChunk(usage: Usage): ChatChunk {
    return { ...this.#head, object: "chat.completion.chunk", choices: [], usage };
  }

  whole(answers: readonly Answer[], usage: Usage): ChatResponse {
    const { hasLogprobs, tokenName, echo } = this.#options;
    const choices = answers.map((answer, index) => {
      const parser = this.#options.newParser();
      const parts = [...parser.push(answer.text), ...parser.end()];
      return {
        index,
        message: messageOf(this.#shown(parts), echo),
        logprobs: hasLogprobs ? chatLogprobs(answer.logprobs, tokenName) : null,
        finish_reason: reasonOf(answer.finishReason, parser),
        ...choiceExtras(answer, this.#options),
      };
    });
    return {
      ...this.#head,
      object: "chat.completion",
      choices,
      usage,
      ...(this.#options.hasPromptLogprobs === true && {
        prompt_logprobs: promptLogprobs(answers[0]!.promptLogprobs ?? []),
      }),
      ...this.#promptTokenIds(0),
    };
  }

  #promptTokenIds(index: number): { readonly prompt_token_ids?: readonly number[] } {
    const ids = this.#options.promptTokenIds?.[index];
    return ids === undefined ? {} : { prompt_token_ids: ids };
  }

  #shown(parts: readonly MessagePart[]): readonly MessagePart[] {
    if (this.#options.includesReasoning) return parts;
    return parts.filter((part) => part.kind !== "reasoning");
  }

  #chunk(choice: ChatChunkChoice): ChatChunk {
    return { ...this.#head, object: "chat.completion.chunk", choices: [choice] };
  }
}

/** A call that was cut off is still one: `length` says that it is not whole. */
function reasonOf(reason: FinishReason, parser: AnswerParser): ChatFinishReason {
  return reason === "stop" && parser.hasToolCalls ? "tool_calls" : reason;
}

function deltaOf(part: MessagePart): ChatDelta {
  if (part.kind === "content") return { content: part.text };
  if (part.kind === "reasoning") return { reasoning_content: part.text };
  const { index, id, name, arguments: text } = part;
  const call =
    id === undefined || name === undefined
      ? { index, function: { arguments: text } }
      : { index, id, type: "function" as const, function: { name, arguments: text } };
  return { tool_calls: [call] };
}

function messageOf(parts: readonly MessagePart[], echo = ""): ChatResponseMessage {
  let content = echo;
  let reasoning = "";
  const calls: ToolCall[] = [];
  for (const part of parts) {
    if (part.kind === "content") content += part.text;
    else if (part.kind === "reasoning") reasoning += part.text;
    else {
      const { id = "", name = "" } = part;
      const call = (calls[part.index] ??= {
        id,
        type: "function",
        function: { name, arguments: "" },
      });
      const text = call.function.arguments + part.arguments;
      calls[part.index] = { ...call, function: { ...call.function, arguments: text } };
    }
  }
  return {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    refusal: null,
    ...(reasoning !== "" && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}
