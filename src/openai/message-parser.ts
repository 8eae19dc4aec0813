import { MarkupCallReader } from "./markup-call-reader.ts";
import { type CallReader, type ToolCallPiece, ToolCallReader } from "./tool-call-reader.ts";
import type { ToolDialect } from "./tool-dialect.ts";
import type { ToolFields } from "./tools.ts";

/** A part of what the assistant says, in the order in which it comes. */
export type MessagePart =
  | { readonly kind: "content"; readonly text: string }
  | { readonly kind: "reasoning"; readonly text: string }
  | {
      readonly kind: "toolCall";
      /** Of the call within its message. */
      readonly index: number;
      /** The first part of each call has its id and name. */
      readonly id?: string | undefined;
      readonly name?: string | undefined;
      readonly arguments: string;
    };

/** Takes an answer apart while it comes. */
export interface AnswerParser {
  readonly hasToolCalls: boolean;
  /** @param text in any pieces */
  push(text: string): MessagePart[];
  /** The end of the answer: nothing is held back any longer. */
  end(): MessagePart[];
}

/** Where thoughts are at the beginning of an answer. */
export type ReasoningStart =
  /** The model does not think. */
  | "never"
  /** It may write <think> first. */
  | "possible"
  /** The prompt ended with <think>. */
  | "begun"
  /** Thoughts and content come in channels of their own. */
  | "channels";

export interface MessageParserOptions {
  readonly reasoning: Exclude<ReasoningStart, "channels">;
  /** Undefined: there are no tools. */
  readonly dialect?: ToolDialect | undefined;
  /** Whose arguments are told apart by their schemas where they are plain text. */
  readonly tools?: readonly ToolFields[] | undefined;
  /** Whether calls behind the first one count. */
  readonly isParallel: boolean;
}

type Mode =
  /** Nothing but thoughts and white space has come. */
  | "start"
  | "reasoning"
  | "content"
  /** Behind a marker, between two calls. */
  | "calls"
  | "call";

export const THINK = "<think>";
export const END_THINK = "</think>";
const MAX_NAME_LENGTH = 100;

/**
 * Takes the text of an answer apart: thoughts, content, tool calls. The text comes in any pieces; what may
 * become a marker is held back until it is one or is none.
 */
export class MessageParser implements AnswerParser {
  readonly #options: MessageParserOptions;
  #mode: Mode;
  #held = "";
  #reader: CallReader = new ToolCallReader(false);
  /** Of the call that is being read, until it has been passed on. */
  #name: string | undefined;
  #numCalls = 0;
  #hasThought = false;
  /** Whether white space still counts as being between two parts. */
  #isBetween = true;

  constructor(options: MessageParserOptions) {
    this.#options = options;
    this.#mode = options.reasoning === "begun" ? "reasoning" : "start";
  }

  get hasToolCalls(): boolean {
    return this.#numCalls > 0;
  }
  get isReasoning(): boolean {
    return this.#mode === "reasoning";
  }

  push(text: string): MessagePart[] {
    this.#held += text;
    const parts: MessagePart[] = [];
    // Each turn uses some of what is held; the one that cannot waits for more.
    while (this.#held !== "" && this.#advance(parts, false));
    return parts;
  }

  end(): MessagePart[] {
    const parts: MessagePart[] = [];
    while (this.#held !== "" && this.#advance(parts, true));
    if (this.#mode === "call" && !this.#reader.hasBegun) {
      this.#add(parts, "content", this.#reader.text);
    }
    return parts;
  }

  /** @returns whether there may be more to do */
  #advance(parts: MessagePart[], isEnd: boolean): boolean {
    switch (this.#mode) {
      case "start":
        return this.#begin(isEnd);
      case "reasoning":
        return this.#upTo(END_THINK, "reasoning", "start", parts, isEnd);
      case "content":
        return this.#upTo(this.#options.dialect?.marker, "content", "calls", parts, isEnd);
      case "calls":
        return this.#betweenCalls(isEnd);
      case "call":
        return this.#readCall(parts);
    }
  }

  /** At the beginning, and behind the thoughts. */
  #begin(isEnd: boolean): boolean {
    const { reasoning, dialect } = this.#options;
    const text = this.#held.trimStart();
    if (text === "" && !isEnd) return false;
    if (reasoning === "possible" && !this.#hasThought) {
      if (!isEnd && text.length < THINK.length && THINK.startsWith(text)) return false;
      if (text.startsWith(THINK)) {
        this.#hasThought = true;
        this.#held = text.slice(THINK.length);
        this.#enter("reasoning");
        return true;
      }
    }
    if (dialect?.canBeBare === true && text.startsWith("{")) {
      this.#held = text;
      this.#enter("calls");
    } else {
      const isBehindThoughts = this.#hasThought || reasoning === "begun";
      this.#enter("content");
      this.#isBetween = isBehindThoughts;
    }
    return true;
  }

  /** Passes text on until `marker` comes. */
  #upTo(
    marker: string | undefined,
    kind: "content" | "reasoning",
    next: "start" | "calls",
    parts: MessagePart[],
    isEnd: boolean,
  ): boolean {
    const at = marker === undefined ? -1 : this.#held.indexOf(marker);
    if (at >= 0) {
      this.#add(parts, kind, this.#held.slice(0, at).trimEnd());
      this.#held = this.#held.slice(at + marker!.length);
      this.#enter(next);
      return true;
    }
    const numHeld = isEnd || marker === undefined ? 0 : numThatMayBecome(marker, this.#held);
    const cut = this.#held.length - numHeld;
    this.#add(parts, kind, this.#held.slice(0, cut));
    this.#held = this.#held.slice(cut);
    return false;
  }

  #betweenCalls(isEnd: boolean): boolean {
    const { separators, closer, nameEnd, markup } = this.#options.dialect!;
    const text = this.#held.replace(separators, "");
    this.#held = text;
    if (text === "") return false;
    if (
      nameEnd !== undefined &&
      text.length < MAX_NAME_LENGTH &&
      !text.includes(nameEnd) &&
      !isEnd
    ) {
      return false;
    }
    const isClosed = closer !== "" && text.startsWith(closer);
    if (!isEnd && !isClosed && closer.startsWith(text)) return false;
    if (!isEnd && !isClosed && markup !== undefined && mayBegin(markup.begin, text)) return false;
    const nameLength = nameEnd === undefined ? -1 : text.indexOf(nameEnd);
    if (isClosed) {
      this.#held = text.slice(closer.length);
      this.#enter("content");
    } else if (markup?.begin !== undefined && text.startsWith(markup.begin)) {
      this.#reader = new MarkupCallReader(markup, this.#options.tools ?? []);
      this.#enter("call");
    } else if (nameEnd === undefined ? text.startsWith("{") : nameLength >= 0) {
      this.#name = nameEnd && text.slice(0, nameLength).trim();
      this.#held = nameEnd === undefined ? text : text.slice(nameLength + nameEnd.length);
      this.#reader = new ToolCallReader(nameEnd !== undefined);
      this.#enter("call");
    } else {
      this.#enter("content");
    }
    return true;
  }

  #readCall(parts: MessagePart[]): boolean {
    const { piece, rest } = this.#reader.push(this.#held);
    this.#held = rest;
    if (piece !== undefined) {
      this.#addCall(parts, { name: this.#name, ...piece });
      this.#name = undefined;
    }
    if (!this.#reader.isDone) return false;
    if (!this.#reader.hasBegun) this.#add(parts, "content", this.#reader.text);
    const { nameEnd, markup, closer } = this.#options.dialect!;
    const isAlone = nameEnd !== undefined || (markup !== undefined && closer === "");
    this.#enter(isAlone ? "content" : "calls");
    return true;
  }

  #enter(mode: Mode): void {
    this.#mode = mode;
    this.#isBetween = true;
  }

  #add(parts: MessagePart[], kind: "content" | "reasoning", text: string): void {
    const shown = this.#isBetween ? text.trimStart() : text;
    if (shown === "") return;
    this.#isBetween = false;
    parts.push({ kind, text: shown });
  }

  #addCall(parts: MessagePart[], piece: ToolCallPiece): void {
    const { dialect, isParallel } = this.#options;
    const isNew = piece.name !== undefined;
    if (isNew) this.#numCalls++;
    if (this.#numCalls > 1 && !isParallel) return;
    parts.push({
      kind: "toolCall",
      index: this.#numCalls - 1,
      ...(isNew && { id: dialect!.newCallId(), name: piece.name }),
      arguments: piece.arguments,
    });
  }
}

/** Whether `text` is a beginning of `marker` and not yet all of it. */
function mayBegin(marker: string, text: string): boolean {
  return text.length < marker.length && marker.startsWith(text);
}

/** Length of the end of `text` that may be the beginning of `marker`, with white space in front. */
function numThatMayBecome(marker: string, text: string): number {
  let length = Math.min(marker.length - 1, text.length);
  while (length > 0 && !marker.startsWith(text.slice(text.length - length))) length--;
  return text.length - text.slice(0, text.length - length).trimEnd().length;
}
