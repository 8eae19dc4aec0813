import { CHANNEL, ChannelParser, MESSAGE } from "./channel-parser.ts";
import { UsageError } from "../core/index.ts";
import { END_THINK, MessageParser, THINK } from "./message-parser.ts";
import type { AnswerParser, ReasoningStart } from "./message-parser.ts";
import { type ToolDialect, toolDialectOf } from "./tool-dialect.ts";
import type { ToolWish } from "./tools.ts";

/** What a chat template tells of the form in which its model thinks and calls tools. */
export class ChatFormat {
  readonly #knowsTools: boolean;
  readonly #knowsDocuments: boolean;
  readonly #knowsReasoningEffort: boolean;
  readonly #thinks: boolean;
  readonly #hasChannels: boolean;
  readonly #dialect: ToolDialect | undefined;

  constructor(templateSource: string) {
    this.#knowsTools = /\btools\b/.test(templateSource);
    this.#knowsDocuments = /\bdocuments\b/.test(templateSource);
    this.#knowsReasoningEffort = /\breasoning_effort\b/.test(templateSource);
    this.#thinks = templateSource.includes(THINK) || templateSource.includes(END_THINK);
    this.#hasChannels = [CHANNEL, MESSAGE].every((mark) => templateSource.includes(mark));
    this.#dialect = toolDialectOf(templateSource);
  }

  /** @throws UsageError when the template would not show the model any tools */
  checkTools(): void {
    if (this.#knowsTools) return;
    throw new UsageError(
      "This model cannot honour 'tools': its chat template has none. Start the server with a --chat-template that has",
      { param: "tools" },
    );
  }

  /** @throws UsageError when the template would not show the model any documents */
  checkDocuments(): void {
    if (this.#knowsDocuments) return;
    throw new UsageError("This model cannot honour 'documents': its chat template has none", {
      param: "documents",
    });
  }

  /** @throws UsageError when the model has no tools, or calls them in a form that is not known */
  toolDialect(): ToolDialect {
    this.checkTools();
    if (this.#dialect !== undefined) return this.#dialect;
    throw new UsageError(
      "This server cannot honour 'tools' for this model: it does not know the form in which the chat template asks for tool calls",
      { param: "tools" },
    );
  }

  /** @throws UsageError when the template does nothing with it */
  checkReasoningEffort(): void {
    if (this.#knowsReasoningEffort) return;
    throw new UsageError(
      "This model cannot honour 'reasoning_effort': its chat template does not know it",
      { param: "reasoning_effort" },
    );
  }

  /** @param prompt as the template rendered it */
  reasoningStart(prompt: string): ReasoningStart {
    if (this.#hasChannels) return "channels";
    if (!this.#thinks) return "never";
    const end = prompt.trimEnd();
    if (end.endsWith(THINK)) return "begun";
    return end.endsWith(END_THINK) ? "never" : "possible";
  }
}

/** Makes what takes the answers to one request apart. */
export function messageParsers(
  reasoning: ReasoningStart,
  tools: { readonly wish: ToolWish; readonly dialect: ToolDialect } | undefined,
): () => AnswerParser {
  const dialect = tools?.dialect;
  const isParallel = tools?.wish.isParallel ?? true;
  if (reasoning === "channels") return () => new ChannelParser({ dialect, isParallel });
  return () => new MessageParser({ reasoning, dialect, tools: tools?.wish.tools, isParallel });
}
