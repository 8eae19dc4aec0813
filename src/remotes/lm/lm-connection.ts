import {
  type Connection,
  ConnectionError,
  LM_CLAIMS_VERSION,
  LM_CODES,
  LM_COMMANDS,
  LM_EXTENSIONS,
  LM_MAX_NAMES,
  type LmReply,
  type LmRequest,
  type PooledConnection,
  decodeLmReply,
  encodeLmNames,
  encodeLmRequest,
  lmBytesType,
  lmHello,
  lmProof,
  lmReplyBytes,
  lmRequest,
  readLmHelloReply,
} from "../../protocol/index.ts";
import type { RemoteClaim } from "../remote-store.ts";
import type { LmDialect } from "./lm-dialect.ts";
import { lmKeyOf } from "./lm-name.ts";

/** Lookups of a server that answers one key at a time: so many questions in one write. */
const EXISTS_AT_ONCE = 256;

/** From here on it pays to ask first whether the value is wanted: a round trip is nothing beside its bytes. */
const OFFER_BYTES = 4 * 1024 * 1024;

/** Lengths are int32. */
const MAX_VALUE_BYTES = 2 ** 31 - 1;

/** One connection to a cache server: ours, or LMCache's. One call at a time. */
export class LmConnection implements PooledConnection {
  readonly #connection: Connection;
  readonly #dialect: LmDialect;
  readonly #replyHead: Buffer;
  #isOurs = false;
  #knowsClaims = false;

  private constructor(connection: Connection, dialect: LmDialect) {
    this.#connection = connection;
    this.#dialect = dialect;
    this.#replyHead = Buffer.alloc(lmReplyBytes(dialect.form));
  }

  /**
   * Finds out who is there. Rejects with a ConnectionError, whose code is "unavailable" when the server closes because
   * it does not understand.
   */
  static async greet(
    socket: Connection,
    dialect: LmDialect,
    token: string | undefined,
  ): Promise<LmConnection> {
    const connection = new LmConnection(socket, dialect);
    try {
      await connection.#greet(token);
      return connection;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether the server knows the commands of our own. */
  get isOurs(): boolean {
    return this.#isOurs;
  }
  get isBroken(): boolean {
    // Nothing may come that was not asked for.
    return this.#connection.isBroken || this.#connection.numUnreadBytes > 0;
  }
  get numBytesReceived(): number {
    return this.#connection.numBytesReceived;
  }

  async lookup(names: readonly string[]): Promise<number> {
    const keys = names.map((name) => this.#keyOf(name));
    const numAtOnce = this.#isOurs ? LM_MAX_NAMES : EXISTS_AT_ONCE;
    for (let start = 0; start < keys.length; start += numAtOnce) {
      const asked = keys.slice(start, start + numAtOnce);
      const numFound = this.#isOurs
        ? await this.#count(LM_EXTENSIONS.lookup, asked)
        : await this.#countOneByOne(asked);
      if (numFound < asked.length) return start + numFound;
    }
    return keys.length;
  }

  async get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
  ): Promise<number | undefined> {
    const reply = await this.#ask(lmRequest(LM_COMMANDS.get, this.#keyOf(name)));
    if (reply.code !== LM_CODES.success) return undefined;
    const target = allocate(reply.byteLength);
    if (target === undefined) {
      // The value is on its way.
      this[Symbol.dispose]();
      return undefined;
    }
    await this.#connection.readInto(target.subarray(0, reply.byteLength));
    return reply.byteLength;
  }

  async put(name: string, value: Uint8Array): Promise<boolean> {
    const key = this.#keyOf(name);
    if (value.byteLength > MAX_VALUE_BYTES) return false;
    return this.#isOurs ? await this.#store(key, value) : await this.#putUnanswered(key, value);
  }

  async remove(names: readonly string[]): Promise<number> {
    if (!this.#isOurs) return 0;
    const keys = names.map((name) => this.#keyOf(name));
    let numRemoved = 0;
    for (let start = 0; start < keys.length; start += LM_MAX_NAMES) {
      const asked = keys.slice(start, start + LM_MAX_NAMES);
      numRemoved += await this.#count(LM_EXTENSIONS.remove, asked);
    }
    return numRemoved;
  }

  /** @returns how many leading names are the owner's; undefined when the server knows no claims */
  async claim(names: readonly string[], claim: RemoteClaim): Promise<number | undefined> {
    if (!this.#knowsClaims) return undefined;
    const { owner, ttlMs } = claim;
    const asked = names.slice(0, LM_MAX_NAMES).map((name) => this.#keyOf(name));
    return await this.#count(LM_EXTENSIONS.claim, asked, owner, ttlMs);
  }

  async release(names: readonly string[], owner: string): Promise<void> {
    if (!this.#knowsClaims) return;
    const asked = names.slice(0, LM_MAX_NAMES).map((name) => this.#keyOf(name));
    await this.#count(LM_EXTENSIONS.release, asked, owner);
  }

  [Symbol.dispose](): void {
    this.#connection[Symbol.dispose]();
  }

  async #greet(token: string | undefined): Promise<void> {
    const health = lmRequest(LM_COMMANDS.health, this.#keyOf("health"));
    const reply = await this.#ask(...(this.#dialect.saysHello ? [lmHello(), health] : [health]));
    const hello = readLmHelloReply(reply);
    if (hello === undefined) return;
    this.#isOurs = true;
    this.#knowsClaims = hello.version >= LM_CLAIMS_VERSION;
    await this.#readReply();
    if (hello.nonce === undefined) return;
    if (token === undefined) throw new ConnectionError("unauthorized", "The server wants a token");
    await this.#ask(lmRequest(LM_EXTENSIONS.prove, lmProof(token, hello.nonce)));
  }

  async #store(key: string, value: Uint8Array): Promise<boolean> {
    const { byteLength } = value;
    if (byteLength >= OFFER_BYTES) {
      const shape = [byteLength, 0, 0, 0] as const;
      const { code } = await this.#ask(lmRequest(LM_EXTENSIONS.offer, key, { shape }));
      if (code !== LM_CODES.success) return code === LM_CODES.alreadyHeld;
    }
    const head = lmRequest(LM_EXTENSIONS.store, key, { ...lmBytesType(byteLength), byteLength });
    await this.#connection.write([this.#encode(head), value]);
    return (await this.#readReply()).code === LM_CODES.success;
  }

  /** LMCache's PUT has no answer: the EXIST behind it has one. */
  async #putUnanswered(key: string, value: Uint8Array): Promise<boolean> {
    const exist = lmRequest(LM_COMMANDS.exist, key);
    if ((await this.#ask(exist)).code === LM_CODES.success) return true;
    const { byteLength } = value;
    const put = lmRequest(LM_COMMANDS.put, key, { ...lmBytesType(byteLength), byteLength });
    await this.#connection.write([this.#encode(put), value, this.#encode(exist)]);
    return (await this.#readReply()).code === LM_CODES.success;
  }

  async #countOneByOne(keys: readonly string[]): Promise<number> {
    const requests = keys.map((key) => this.#encode(lmRequest(LM_COMMANDS.exist, key)));
    const replies = Buffer.alloc(keys.length * this.#replyHead.byteLength);
    // Both at once: a server that answers as it reads must not wait for us.
    await Promise.all([this.#connection.write(requests), this.#connection.readInto(replies)]);
    const isThere = (_: string, index: number): boolean => {
      const start = index * this.#replyHead.byteLength;
      const reply = decodeLmReply(replies.subarray(start), this.#dialect.form);
      return reply.code === LM_CODES.success;
    };
    const numMissing = keys.findIndex((key, index) => !isThere(key, index));
    return numMissing < 0 ? keys.length : numMissing;
  }

  async #count(
    command: number,
    keys: readonly string[],
    headKey = "",
    argument = 0,
  ): Promise<number> {
    const body = encodeLmNames(keys);
    const { byteLength } = body;
    const head = lmRequest(command, headKey, { byteLength, shape: [argument, 0, 0, 0] });
    await this.#connection.write([this.#encode(head), body]);
    const { code, shape } = await this.#readReply();
    if (code === LM_CODES.success && shape[0] >= 0 && shape[0] <= keys.length) return shape[0];
    throw new ConnectionError(
      "protocol",
      `The server answered ${code} and ${shape[0]} to ${keys.length} names`,
    );
  }

  /** @returns the first reply */
  async #ask(...requests: readonly LmRequest[]): Promise<LmReply> {
    await this.#connection.write(requests.map((request) => this.#encode(request)));
    return await this.#readReply();
  }

  async #readReply(): Promise<LmReply> {
    await this.#connection.readInto(this.#replyHead);
    const reply = decodeLmReply(this.#replyHead, this.#dialect.form);
    if (reply.code !== LM_CODES.unauthorized || readLmHelloReply(reply)) return reply;
    throw new ConnectionError("unauthorized", "The server does not accept the token");
  }

  #keyOf(name: string): string {
    return lmKeyOf(name, this.#dialect.keys);
  }

  #encode(request: LmRequest): Buffer {
    return encodeLmRequest(request, this.#dialect.form);
  }
}
