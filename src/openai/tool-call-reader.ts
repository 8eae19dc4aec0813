/** What has become known of a call. */
export interface ToolCallPiece {
  readonly name?: string | undefined;
  /** More of the arguments' JSON. */
  readonly arguments: string;
}

/** Reads one call from text that comes in pieces. */
export interface CallReader {
  readonly isDone: boolean;
  /** Everything read so far. */
  readonly text: string;
  /** Whether anything has been passed on. */
  readonly hasBegun: boolean;
  /** @returns what became known, and the text behind the call once it is done */
  push(text: string): { readonly piece: ToolCallPiece | undefined; readonly rest: string };
}

/** `{"name": "f", "arguments": ` as most models write it, so that the arguments can be passed on as they come. */
const HEADER =
  /^\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)/;
const MAX_HEADER_LENGTH = 1000;

/** Reads a call that is a JSON object. */
export class ToolCallReader implements CallReader {
  readonly #areArgumentsAlone: boolean;
  #text = "";
  #depth = 0;
  #isInString = false;
  #isEscaped = false;
  /** How far the arguments have been passed on, once it is known where they begin. */
  #numSent: number | undefined;
  /** The end of the first object within: of the arguments, where the name came first. */
  #innerEnd: number | undefined;
  #isDone = false;

  /** @param areArgumentsAlone the name is known already; what comes are the arguments */
  constructor(areArgumentsAlone: boolean) {
    this.#areArgumentsAlone = areArgumentsAlone;
    if (areArgumentsAlone) this.#numSent = 0;
  }

  get isDone(): boolean {
    return this.#isDone;
  }
  get text(): string {
    return this.#text;
  }
  get hasBegun(): boolean {
    return this.#numSent !== undefined;
  }

  push(text: string): { readonly piece: ToolCallPiece | undefined; readonly rest: string } {
    let numTaken = 0;
    while (numTaken < text.length && !this.#isDone) this.#step(text[numTaken++]!);
    const rest = text.slice(numTaken);
    if (this.#numSent === undefined) {
      const name = this.#findHeader();
      if (name !== undefined) return { piece: { name, arguments: this.#more() }, rest };
      return { piece: this.#isDone ? this.#whole() : undefined, rest };
    }
    const more = this.#more();
    return { piece: more === "" ? undefined : { arguments: more }, rest };
  }

  #step(letter: string): void {
    this.#text += letter;
    if (this.#isInString) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (letter === "\\") this.#isEscaped = true;
      else if (letter === '"') this.#isInString = false;
      return;
    }
    if (letter === '"') this.#isInString = true;
    if (letter === "{" || letter === "[") this.#depth++;
    if (letter !== "}" && letter !== "]") return;
    this.#depth--;
    if (this.#depth === 1) this.#innerEnd ??= this.#text.length;
    if (this.#depth <= 0) this.#isDone = true;
  }

  #findHeader(): string | undefined {
    const found = HEADER.exec(this.#text.slice(0, MAX_HEADER_LENGTH));
    const name = found === null ? undefined : parseJson(found[1]!);
    if (found === null || typeof name !== "string") return undefined;
    this.#numSent = found[0].length;
    return name;
  }

  #more(): string {
    const end = (this.#areArgumentsAlone ? undefined : this.#innerEnd) ?? this.#text.length;
    const more = this.#text.slice(this.#numSent, end);
    this.#numSent = end;
    return more;
  }

  /** A call whose parts came in another order. @returns undefined when it is none */
  #whole(): ToolCallPiece | undefined {
    const call = Object(parseJson(this.#text)) as Record<string, unknown>;
    const { name, arguments: given = call["parameters"] ?? {} } = call;
    if (typeof name !== "string") return undefined;
    this.#numSent = this.#text.length;
    return { name, arguments: typeof given === "string" ? given : JSON.stringify(given) };
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
