import type { ConnectionOptions } from "node:tls";
import {
  Connection,
  ConnectionError,
  type PooledConnection,
  type RespArgument,
  RespCommands,
  RespError,
  type RespReply,
  readReply,
  readValueEnd,
  readValueLength,
} from "../../protocol/index.ts";
import type { RedisNode } from "./redis-url.ts";

export interface RedisSessionOptions {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  readonly tls: ConnectionOptions | undefined;
  readonly timeoutMs: number;
}

/** What nobody wants is read into this. */
const DISCARD_BYTES = 64 * 1024;

/** A connection to one server, logged in: commands are added, sent together, and answered in their order. */
export class RedisSession implements PooledConnection {
  /** Commands are for a slot that this server is about to have: each says so. */
  isAsking = false;
  readonly #connection: Connection;
  #commands = new RespCommands();

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Rejects with a ConnectionError, or with the signal's reason. */
  static async open(
    node: RedisNode,
    options: RedisSessionOptions,
    signal: AbortSignal,
  ): Promise<RedisSession> {
    const { tls, timeoutMs } = options;
    const session = new RedisSession(await Connection.connect({ ...node, tls, timeoutMs, signal }));
    const onAbort = (): void => session[Symbol.dispose]();
    signal.addEventListener("abort", onAbort);
    try {
      await session.#logIn(options);
      return session;
    } catch (error) {
      session[Symbol.dispose]();
      throw signal.aborted ? signal.reason : error;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Also with a reply that nobody asked for: the next one would be taken for another's. */
  get isBroken(): boolean {
    return this.#connection.isBroken || this.#connection.numUnreadBytes > 0;
  }
  get numBytesReceived(): number {
    return this.#connection.numBytesReceived;
  }

  add(...command: readonly RespArgument[]): this {
    if (this.isAsking) this.#commands.add("ASKING");
    this.#commands.add(...command);
    return this;
  }

  async send(): Promise<void> {
    const commands = this.#commands;
    this.#commands = new RespCommands();
    await this.#connection.write(commands.parts());
  }

  async reply(): Promise<RespReply> {
    await this.#skipAsking();
    return readReply(this.#connection);
  }

  async replies(numReplies: number): Promise<RespReply[]> {
    const replies: RespReply[] = [];
    while (replies.length < numReplies) replies.push(await this.reply());
    return replies;
  }

  /** A value of this length follows: `readInto` all of it, then `valueEnd`. */
  async valueLength(): Promise<number | null | RespError> {
    await this.#skipAsking();
    return readValueLength(this.#connection);
  }

  readInto(target: Uint8Array): Promise<void> {
    return this.#connection.readInto(target);
  }

  valueEnd(): Promise<void> {
    return readValueEnd(this.#connection);
  }

  /** Reads the rest of a value, its end included, for nothing. */
  async discardValue(numBytes: number): Promise<void> {
    const target = Buffer.allocUnsafe(Math.min(numBytes, DISCARD_BYTES));
    for (let left = numBytes; left > 0; left -= target.byteLength) {
      await this.readInto(target.subarray(0, left));
    }
    await this.valueEnd();
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #skipAsking(): Promise<void> {
    if (!this.isAsking) return;
    const reply = await readReply(this.#connection);
    if (reply instanceof RespError) throw reply;
  }

  async #logIn({ username, password, database }: RedisSessionOptions): Promise<void> {
    if (password !== undefined) {
      this.add("AUTH", ...(username === undefined ? [] : [username]), password);
      await this.send();
      const reply = await this.reply();
      // Not its words: a server that does not know the command repeats what it was sent, password and all.
      if (reply instanceof RespError) {
        const isBusy = connectionError(reply).code === "unavailable";
        throw new ConnectionError(
          isBusy ? "unavailable" : "unauthorized",
          `The server refused the password (${reply.code})`,
        );
      }
    }
    if (database !== 0) {
      this.add("SELECT", String(database));
      await this.send();
      const reply = await this.reply();
      if (reply instanceof RespError) throw connectionError(reply);
    }
  }
}

/** A server may repeat what it was sent. */
const MAX_MESSAGE_CHARS = 200;
const UNAUTHORIZED = ["NOAUTH", "NOPERM", "WRONGPASS"];
/** Errors that pass without anybody's doing, or are of the server's health. */
const UNAVAILABLE = [
  "ASK",
  "BUSY",
  "CLUSTERDOWN",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "MOVED",
  "NOREPLICAS",
  "OOM",
  "READONLY",
  "TRYAGAIN",
  "UNKILLABLE",
];

/** What a server's answer means where it is no expected one. */
export function connectionError(error: RespError): ConnectionError {
  const { code } = error;
  const message = error.message.slice(0, MAX_MESSAGE_CHARS);
  if (UNAUTHORIZED.includes(code)) return new ConnectionError("unauthorized", message);
  const isUnavailable =
    UNAVAILABLE.includes(code) || message.startsWith("ERR max number of clients");
  return new ConnectionError(isUnavailable ? "unavailable" : "protocol", message);
}
