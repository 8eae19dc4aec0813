import { ConnectionError } from "./connection-error.ts";

/** What is read ahead of a reader: enough for a reply's head, little enough that copying it costs nothing. */
const LANDING_BYTES = 4096;

const LINE_FEED = 10;

/**
 * Hands received bytes to the one reader there may be.
 *
 *     kernel --> landing (4 KiB) --copy--> the reader's memory     heads, lines, the last bytes of a body
 *     kernel ----------------------------> the reader's memory     the bulk of a body
 *
 * Knows no sockets: its owner asks `window()` where the next bytes are to go and tells `received()` how many came.
 * While something is left unread, nothing more may be received.
 */
export class Inbox {
  readonly #landing = Buffer.allocUnsafeSlow(LANDING_BYTES);
  #unread: Buffer = Buffer.alloc(0);
  #reader: Reader | undefined;
  #numBytesReceived = 0;

  /** Since the beginning. */
  get numBytesReceived(): number {
    return this.#numBytesReceived;
  }
  get numUnreadBytes(): number {
    return this.#unread.byteLength;
  }
  get isAwaited(): boolean {
    return this.#reader !== undefined;
  }

  /** Where the next bytes belong. */
  window(): Uint8Array {
    const reader = this.#reader;
    if (reader === undefined || "text" in reader) return this.#landing;
    const rest = reader.target.byteLength - reader.numFilled;
    return rest < LANDING_BYTES ? this.#landing : reader.target.subarray(reader.numFilled);
  }

  /**
   * @param window what `window()` gave
   * @returns whether more may be received now
   */
  received(numBytes: number, window: Uint8Array): boolean {
    if (window === this.#landing) return this.give(this.#landing.subarray(0, numBytes));
    this.#numBytesReceived += numBytes;
    const reader = this.#reader as BodyReader;
    reader.numFilled += numBytes;
    if (reader.numFilled === reader.target.byteLength) this.#finish(reader);
    return true;
  }

  /**
   * Bytes that came in memory of somebody else's.
   *
   * @returns whether more may be received now
   */
  give(chunk: Buffer): boolean {
    this.#numBytesReceived += chunk.byteLength;
    this.#unread = this.#unread.byteLength === 0 ? chunk : Buffer.concat([this.#unread, chunk]);
    this.#serve();
    return this.#unread.byteLength === 0;
  }

  /** Resolves when `target` is full. One reader at a time. */
  readInto(target: Uint8Array): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.#read({ target, numFilled: 0, resolve, reject });
    });
  }

  /** Resolves to the text up to CRLF. One reader at a time. */
  readLine(maxBytes: number): Promise<string> {
    return new Promise<string>((resolve, reject) => {
      this.#read({ text: "", maxBytes, resolve, reject });
    });
  }

  /** Ends the reader there is. */
  fail(error: Error): void {
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.reject(error);
  }

  #read(reader: Reader): void {
    if (this.#reader) throw new Error("Two reads of one connection at the same time");
    this.#reader = reader;
    this.#serve();
  }

  #serve(): void {
    const reader = this.#reader;
    if (reader === undefined) return;
    if ("text" in reader) this.#serveLine(reader);
    else this.#serveBody(reader);
  }

  #serveBody(reader: BodyReader): void {
    const { target, numFilled } = reader;
    const part = this.#unread.subarray(0, target.byteLength - numFilled);
    target.set(part, numFilled);
    reader.numFilled += part.byteLength;
    this.#unread = this.#unread.subarray(part.byteLength);
    if (reader.numFilled === target.byteLength) this.#finish(reader);
  }

  #serveLine(reader: LineReader): void {
    const lineFeed = this.#unread.indexOf(LINE_FEED);
    const end = lineFeed < 0 ? this.#unread.byteLength : lineFeed + 1;
    if (reader.text.length + end > reader.maxBytes + 2) {
      this.#refuse(`a line of more than ${reader.maxBytes} bytes`);
      return;
    }
    reader.text += this.#unread.toString("latin1", 0, end);
    this.#unread = this.#unread.subarray(end);
    if (lineFeed < 0) return;
    if (!reader.text.endsWith("\r\n")) {
      this.#refuse("a line that does not end in CRLF");
      return;
    }
    this.#reader = undefined;
    reader.resolve(reader.text.slice(0, -2));
  }

  #finish(reader: BodyReader): void {
    this.#reader = undefined;
    reader.resolve();
  }

  #refuse(what: string): void {
    this.fail(new ConnectionError("protocol", `The peer sent ${what}`));
  }
}

type Reader = BodyReader | LineReader;

interface BodyReader {
  readonly target: Uint8Array;
  numFilled: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

interface LineReader {
  text: string;
  readonly maxBytes: number;
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
}
