import type { AnswerParser, MessagePart } from "./message-parser.ts";
import type { ToolDialect } from "./tool-dialect.ts";

export const CHANNEL = "<|channel|>";
export const MESSAGE = "<|message|>";
export const START = "<|start|>";
export const END_MESSAGE = "<|end|>";

/** What a message ends with: a mark of its own, or the next one's beginning. */
const ENDS = [END_MESSAGE, "<|call|>", "<|return|>", START, CHANNEL];
const LONGEST_MARK = "<|constrain|>".length;
const RECIPIENT = /\bto=(?:functions\.)?([\w.-]+)/;
/** No header is that long: what has no end is text. */
const MAX_HEADER_LENGTH = 300;

export interface ChannelParserOptions {
  /** Undefined: there are no tools. */
  readonly dialect: ToolDialect | undefined;
  /** Whether calls behind the first one count. */
  readonly isParallel: boolean;
}

type Body = "content" | "reasoning" | "call" | "ignored";

/**
 * Takes the text of an answer apart that comes as messages in channels, as gpt-oss writes them:
 *
 *     <|channel|>analysis<|message|>thoughts<|end|><|start|>assistant<|channel|>final<|message|>content
 *     <|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}
 */
export class ChannelParser implements AnswerParser {
  readonly #options: ChannelParserOptions;
  #held = "";
  /** Undefined: in a header, or before the first. */
  #body: Body | undefined;
  #numMessages = 0;
  #numCalls = 0;

  constructor(options: ChannelParserOptions) {
    this.#options = options;
  }

  get hasToolCalls(): boolean {
    return this.#numCalls > 0;
  }

  push(text: string): MessagePart[] {
    this.#held += text;
    return this.#advance(false);
  }

  end(): MessagePart[] {
    return this.#advance(true);
  }

  #advance(isEnd: boolean): MessagePart[] {
    const parts: MessagePart[] = [];
    while (this.#held !== "") {
      const hasMoved =
        this.#body === undefined ? this.#readHeader(parts, isEnd) : this.#readBody(parts, isEnd);
      if (!hasMoved) break;
    }
    return parts;
  }

  /** @returns whether there may be more to do */
  #readHeader(parts: MessagePart[], isEnd: boolean): boolean {
    const text = this.#held.trimStart();
    const isHeader = [CHANNEL, START, "to="].some(
      (mark) => text.startsWith(mark) || (!isEnd && mark.startsWith(text)),
    );
    if (!isHeader && this.#numMessages === 0) {
      // A model that was not taught channels.
      this.#begin("content");
      return true;
    }
    const at = text.indexOf(MESSAGE);
    if (at < 0 && !isEnd && text.length < MAX_HEADER_LENGTH) return false;
    const header = text.slice(0, Math.max(0, at));
    this.#held = at < 0 ? "" : text.slice(at + MESSAGE.length);
    const recipient = RECIPIENT.exec(header)?.[1];
    if (recipient !== undefined && this.#options.dialect !== undefined) {
      this.#beginCall(parts, recipient);
    } else {
      this.#begin(header.includes(`${CHANNEL}analysis`) ? "reasoning" : "content");
    }
    return at >= 0;
  }

  #readBody(parts: MessagePart[], isEnd: boolean): boolean {
    const found = ENDS.map((mark) => ({ mark, at: this.#held.indexOf(mark) }))
      .filter(({ at }) => at >= 0)
      .sort((a, b) => a.at - b.at)[0];
    if (found !== undefined) {
      this.#add(parts, this.#held.slice(0, found.at));
      const isHeader = found.mark === START || found.mark === CHANNEL;
      this.#held = this.#held.slice(found.at + (isHeader ? 0 : found.mark.length));
      this.#body = undefined;
      return true;
    }
    const cut = isEnd ? this.#held.length : this.#held.length - numThatMayBecomeAMark(this.#held);
    this.#add(parts, this.#held.slice(0, cut));
    this.#held = this.#held.slice(cut);
    return false;
  }

  #begin(body: Body): void {
    this.#body = body;
    this.#numMessages++;
  }

  #beginCall(parts: MessagePart[], name: string): void {
    const { dialect, isParallel } = this.#options;
    this.#numCalls++;
    const counts = isParallel || this.#numCalls === 1;
    this.#begin(counts ? "call" : "ignored");
    if (!counts) return;
    const index = this.#numCalls - 1;
    parts.push({ kind: "toolCall", index, id: dialect!.newCallId(), name, arguments: "" });
  }

  #add(parts: MessagePart[], text: string): void {
    const kind = this.#body!;
    if (text === "" || kind === "ignored") return;
    if (kind === "call") {
      parts.push({ kind: "toolCall", index: this.#numCalls - 1, arguments: text });
    } else {
      parts.push({ kind, text });
    }
  }
}

/** Length of the end of `text` that may be the beginning of a mark. */
function numThatMayBecomeAMark(text: string): number {
  const at = text.lastIndexOf("<", text.length);
  const length = text.length - at;
  if (at < 0 || length > LONGEST_MARK) return 0;
  const tail = text.slice(at);
  return ENDS.some((mark) => mark.startsWith(tail)) ? length : 0;
}
