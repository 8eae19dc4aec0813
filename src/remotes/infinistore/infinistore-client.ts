import {
  type Connection,
  ConnectionError,
  InfinistoreCode,
  type InfinistoreRequest,
  encodeInfinistoreRequest,
} from "../../protocol/index.ts";

/** One connection to an InfiniStore server. Never a second request before the first is answered. */
export class InfinistoreClient implements Disposable {
  readonly #connection: Connection;
  readonly #words = Buffer.alloc(8);

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get isBroken(): boolean {
    return this.#connection.isBroken;
  }
  get numBytesReceived(): number {
    return this.#connection.numBytesReceived;
  }

  async exists(key: string): Promise<boolean> {
    return (await this.#ask({ kind: "exist", key })) === 0;
  }

  /** How many of the keys, from the first on. Servers of upstream's search by halves and so believe there is no gap. */
  async match(keys: readonly string[]): Promise<number> {
    return (await this.#ask({ kind: "match", keys })) + 1;
  }

  remove(keys: readonly string[]): Promise<number> {
    return this.#ask({ kind: "remove", keys });
  }

  /** @returns the length; undefined: a miss, or no memory for it, which leaves the connection broken */
  async get(
    key: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
  ): Promise<number | undefined> {
    await this.#connection.write([encodeInfinistoreRequest({ kind: "get", key })]);
    const code = await this.#readWord();
    if (code === InfinistoreCode.keyNotFound) return undefined;
    if (code !== InfinistoreCode.finish) throw unexpected(code);
    const byteLength = (await this.#readWord()) >>> 0;
    const target = allocate(byteLength);
    if (target === undefined) {
      // The value is on its way.
      this.#connection[Symbol.dispose]();
      return undefined;
    }
    await this.#connection.readInto(target.subarray(0, byteLength));
    return byteLength;
  }

  /**
   * To be sent on a connection that has just answered: a server without room says so at once and closes, without
   * reading the value, and what it said may be lost with the rest.
   *
   * @returns false: no room, which leaves the connection broken
   */
  async put(key: string, value: Uint8Array): Promise<boolean> {
    const head = encodeInfinistoreRequest({ kind: "put", key, valueBytes: value.byteLength });
    const writing = this.#connection.write([head, value]);
    // What became of it the reply tells, or its absence.
    writing.catch(() => {});
    const code = await this.#readWord().catch((error: ConnectionError) => {
      if (error.code === "unavailable") return InfinistoreCode.outOfMemory;
      throw error;
    });
    if (code === InfinistoreCode.finish) {
      await writing;
      return true;
    }
    this.#connection[Symbol.dispose]();
    if (code === InfinistoreCode.outOfMemory) return false;
    throw unexpected(code);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #ask(request: InfinistoreRequest): Promise<number> {
    await this.#connection.write([encodeInfinistoreRequest(request)]);
    await this.#connection.readInto(this.#words);
    const code = this.#words.readInt32LE(0);
    if (code !== InfinistoreCode.finish) throw unexpected(code);
    return this.#words.readInt32LE(4);
  }

  async #readWord(): Promise<number> {
    const word = this.#words.subarray(0, 4);
    await this.#connection.readInto(word);
    return word.readInt32LE(0);
  }
}

function unexpected(code: number): ConnectionError {
  return new ConnectionError("protocol", `The server answered with code ${code}`);
}
