import { ConnectionError } from "./connection-error.ts";

/**
 * The protocol of Redis and Valkey, version 2: as much of it as moves values. A large value is never copied: it is
 * written as a part of its own and read by the caller, straight into its own memory.
 */
export type RespArgument =
  | string
  | Uint8Array
  /** One argument in several pieces. */
  | readonly Uint8Array[];

/** A reply that carries no value, or a short one. Null is what is not there. */
export type RespReply = string | number | null | RespError;

/** What the server answered instead. */
export class RespError extends Error {
  override readonly name = "RespError";
  /** The first word: "OOM", "MOVED", "ERR". */
  readonly code: string;

  constructor(line: string) {
    super(line);
    this.code = line.split(" ", 1)[0]!;
  }
}

/** A pipeline of commands on its way out: text in as few parts as may be, values between it. */
export class RespCommands {
  readonly #parts: Uint8Array[] = [];
  #text = "";
  #numCommands = 0;

  get numCommands(): number {
    return this.#numCommands;
  }

  add(...command: readonly RespArgument[]): this {
    this.#text += `*${command.length}\r\n`;
    for (const argument of command) {
      if (typeof argument === "string") {
        this.#text += `$${Buffer.byteLength(argument)}\r\n${argument}\r\n`;
        continue;
      }
      const pieces = argument instanceof Uint8Array ? [argument] : argument;
      this.#text += `$${pieces.reduce((sum, piece) => sum + piece.byteLength, 0)}\r\n`;
      this.#endText();
      this.#parts.push(...pieces);
      this.#text = "\r\n";
    }
    this.#numCommands++;
    return this;
  }

  parts(): readonly Uint8Array[] {
    this.#endText();
    return this.#parts;
  }

  #endText(): void {
    if (this.#text !== "") this.#parts.push(Buffer.from(this.#text));
    this.#text = "";
  }
}

/** Where replies come from: a Connection. */
export interface RespSource {
  readLine(maxBytes: number): Promise<string>;
  readInto(target: Uint8Array): Promise<void>;
}

/** No reply that we ask for is longer, values apart; nor is what a server has to say of an error. */
const MAX_SHORT_BYTES = 4096;

export async function readReply(source: RespSource): Promise<RespReply> {
  const line = await source.readLine(MAX_SHORT_BYTES);
  const rest = line.slice(1);
  switch (line[0]) {
    case "+":
      return rest;
    case "-":
      return new RespError(rest);
    case ":":
      return parseInteger(rest, line);
    case "$": {
      const length = parseInteger(rest, line);
      if (length === -1) return null;
      if (length > MAX_SHORT_BYTES) throw unexpected(line);
      const text = Buffer.alloc(length);
      await source.readInto(text);
      await readValueEnd(source);
      return text.toString("latin1");
    }
    default:
      throw unexpected(line);
  }
}

/**
 * The first half of a value's reply. Its bytes are the caller's to read, with `readValueEnd` after them.
 *
 * @returns its length; null when there is none
 */
export async function readValueLength(source: RespSource): Promise<number | null | RespError> {
  const line = await source.readLine(MAX_SHORT_BYTES);
  if (line.startsWith("-")) return new RespError(line.slice(1));
  if (!line.startsWith("$")) throw unexpected(line);
  const length = parseInteger(line.slice(1), line);
  return length === -1 ? null : length;
}

export async function readValueEnd(source: RespSource): Promise<void> {
  const line = await source.readLine(MAX_SHORT_BYTES);
  if (line !== "") throw unexpected(line);
}

function parseInteger(digits: string, line: string): number {
  if (!/^(-1|\d{1,15})$/.test(digits)) throw unexpected(line);
  return Number(digits);
}

function unexpected(line: string): ConnectionError {
  const shown = JSON.stringify(line.slice(0, 40));
  return new ConnectionError("protocol", `Cannot read ${shown} as a reply of Redis`);
}
