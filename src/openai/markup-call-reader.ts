import { argumentJson, typesOf } from "./argument-text.ts";
import type { CallReader, ToolCallPiece } from "./tool-call-reader.ts";
import type { ToolMarkup } from "./tool-dialect.ts";
import type { ToolFields } from "./tools.ts";

const MAX_NAME_LENGTH = 100;

/** Reads one call whose arguments stand between tags, and gives them as JSON, one after the other. */
export class MarkupCallReader implements CallReader {
  readonly #markup: ToolMarkup;
  readonly #tools: readonly ToolFields[];
  #text = "";
  #held = "";
  #name: string | undefined;
  /** Of the argument that is being read. */
  #key: string | undefined;
  #numArguments = 0;
  #isDone = false;

  /** @param tools whose schemas tell text from numbers and the like */
  constructor(markup: ToolMarkup, tools: readonly ToolFields[]) {
    this.#markup = markup;
    this.#tools = tools;
  }

  get isDone(): boolean {
    return this.#isDone;
  }
  get text(): string {
    return this.#text;
  }
  get hasBegun(): boolean {
    return this.#name !== undefined;
  }

  push(text: string): { readonly piece: ToolCallPiece | undefined; readonly rest: string } {
    this.#text += text;
    this.#held += text;
    const hadBegun = this.hasBegun;
    let given = "";
    if (!hadBegun && !this.#readName()) return { piece: undefined, rest: "" };
    if (!hadBegun && this.hasBegun) given = "{";
    for (let more = this.#next(); more !== undefined; more = this.#next()) given += more;
    const rest = this.#isDone ? this.#held : "";
    const name = hadBegun ? undefined : this.#name;
    const isNews = given !== "" || name !== undefined;
    return { piece: isNews ? { name, arguments: given } : undefined, rest };
  }

  /** @returns whether there may be more to do */
  #readName(): boolean {
    const { begin, nameEnd } = this.#markup;
    const end = this.#held.slice(begin.length).search(nameEnd);
    if (end < 0 && this.#held.length < MAX_NAME_LENGTH) return false;
    const name = this.#held.slice(begin.length, begin.length + Math.max(0, end)).trim();
    if (name === "") {
      // Not a call after all: what is read is handed back as text.
      this.#isDone = true;
      this.#held = "";
      return false;
    }
    this.#name = name;
    this.#held = this.#held.slice(begin.length + end).replace(/^>/, "");
    return true;
  }

  /** @returns more of the arguments' JSON, or undefined when more text is needed */
  #next(): string | undefined {
    if (this.#isDone) return undefined;
    const { keyBegin, keyEnd, valueEnd, end, padding } = this.#markup;
    if (this.#key !== undefined) {
      const value = this.#upTo(valueEnd);
      if (value === undefined) return undefined;
      const json = this.#json(this.#key, unpadded(value, padding));
      const separator = this.#numArguments++ === 0 ? "" : ", ";
      const member = `${separator}${JSON.stringify(this.#key)}: ${json}`;
      this.#key = undefined;
      return member;
    }
    this.#held = this.#held.trimStart();
    if (this.#held.startsWith(keyBegin)) {
      const key = this.#upTo(keyEnd);
      if (key === undefined) return undefined;
      this.#key = key.slice(keyBegin.length).trim();
      return "";
    }
    const mayBecomeOne = keyBegin.startsWith(this.#held) || end.startsWith(this.#held);
    if (mayBecomeOne && this.#held !== end) return undefined;
    // Its end, or something that is no part of a call: then it ends here.
    if (this.#held.startsWith(end)) this.#held = this.#held.slice(end.length);
    this.#isDone = true;
    return "}";
  }

  #upTo(marker: string | RegExp): string | undefined {
    const found = typeof marker === "string" ? undefined : marker.exec(this.#held);
    const at = typeof marker === "string" ? this.#held.indexOf(marker) : (found?.index ?? -1);
    if (at < 0) return undefined;
    const length = typeof marker === "string" ? marker.length : found![0].length;
    const text = this.#held.slice(0, at);
    this.#held = this.#held.slice(at + length);
    return text;
  }

  #json(key: string, text: string): string {
    const tool = this.#tools.find((candidate) => candidate.function.name === this.#name);
    const schema = tool?.function.parameters as { properties?: unknown } | undefined;
    const properties = Object(schema?.properties) as Record<string, unknown>;
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    return argumentJson(text, typesOf(property, schema));
  }
}

function unpadded(value: string, padding: string): string {
  if (padding === "") return value;
  const start = value.startsWith(padding) ? padding.length : 0;
  const end = value.endsWith(padding) && value.length > start ? padding.length : 0;
  return value.slice(start, value.length - end);
}
