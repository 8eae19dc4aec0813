import { once } from "node:events";
import { type AddressInfo, type Server, createServer } from "node:net";
import { type Logger, messageOf } from "../core/index.ts";
import {
  Connection,
  ConnectionError,
  INFINISTORE_HEAD_BYTES,
  InfinistoreCode,
  type InfinistoreRequest,
  decodeInfinistoreBody,
  decodeInfinistoreHead,
  encodeInfinistoreReply,
} from "../protocol/index.ts";
import type { ValueStorage } from "./value-storage.ts";

export interface InfinistoreServerOptions {
  readonly storage: ValueStorage;
  readonly logger: Logger;
  /** Connections beyond that many are closed as they come. */
  readonly maxConnections: number;
  /** A client may be silent for so long. */
  readonly idleMs: number;
  /** A value must have come, or gone, within so long: its memory is held meanwhile. */
  readonly transferMs: number;
}

/**
 * InfiniStore's TCP mode, to the byte, and without its pitfalls: requests may be sent ahead, a value is there only
 * once it is whole, and one that finds no room is read to its end, so that its connection stays good. `match` counts
 * what is really there from the first key on.
 */
export class InfinistoreServer implements AsyncDisposable {
  readonly #options: InfinistoreServerOptions;
  readonly #server: Server;
  readonly #sessions = new Map<Connection, Promise<void>>();

  constructor(options: InfinistoreServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      const connection = Connection.accept(socket, options.idleMs);
      const session = this.#serve(connection).finally(() => this.#sessions.delete(connection));
      this.#sessions.set(connection, session);
    });
    this.#server.maxConnections = options.maxConnections;
  }

  get numConnections(): number {
    return this.#sessions.size;
  }

  /** @param port 0: any that is free */
  async listen(port: number, host: string): Promise<AddressInfo> {
    this.#server.listen(port, host);
    await once(this.#server, "listening");
    return this.#server.address() as AddressInfo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const isListening = this.#server.listening;
    this.#server.close();
    for (const connection of this.#sessions.keys()) connection[Symbol.dispose]();
    await Promise.all(this.#sessions.values());
    if (isListening) await once(this.#server, "close");
  }

  async #serve(connection: Connection): Promise<void> {
    const { logger, storage } = this.#options;
    const session = new Session(connection, storage, this.#options.transferMs);
    try {
      for (;;) await session.serveOne();
    } catch (error) {
      const isGone = error instanceof ConnectionError && error.code !== "protocol";
      const message = `infinistore client ${connection.remoteAddress}: ${messageOf(error)}`;
      if (isGone) logger.debug(message);
      else logger.warn(message);
    } finally {
      connection[Symbol.dispose]();
    }
  }
}

/** Far above what a lookup of a whole prompt asks for. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const DRAIN_BYTES = 64 * 1024;

class Session {
  readonly #connection: Connection;
  readonly #storage: ValueStorage;
  readonly #transferMs: number;
  readonly #head = Buffer.alloc(INFINISTORE_HEAD_BYTES);

  constructor(connection: Connection, storage: ValueStorage, transferMs: number) {
    this.#connection = connection;
    this.#storage = storage;
    this.#transferMs = transferMs;
  }

  async serveOne(): Promise<void> {
    await this.#connection.readInto(this.#head);
    const { operation, bodyBytes } = decodeInfinistoreHead(this.#head);
    if (bodyBytes > MAX_BODY_BYTES) {
      throw new ConnectionError("protocol", `A request of ${bodyBytes} bytes`);
    }
    const body = Buffer.allocUnsafeSlow(bodyBytes);
    await this.#connection.readInto(body);
    const request = operation && decodeInfinistoreBody(operation, body);
    if (request === undefined) await this.#reply(InfinistoreCode.invalidRequest);
    else await this.#answer(request);
  }

  async #answer(request: InfinistoreRequest): Promise<void> {
    const storage = this.#storage;
    const { finish } = InfinistoreCode;
    switch (request.kind) {
      case "put":
        return await this.#transfer(() => this.#receive(request.key, request.valueBytes));
      case "get":
        return await this.#transfer(() => this.#send(request.key));
      case "exist":
        return await this.#reply(finish, (await storage.has(request.key)) ? 0 : 1);
      case "match": {
        let last = -1;
        while (last + 1 < request.keys.length && (await storage.has(request.keys[last + 1]!)))
          last++;
        return await this.#reply(finish, last);
      }
      case "remove": {
        let numRemoved = 0;
        for (const key of request.keys) if (await storage.remove(key)) numRemoved++;
        return await this.#reply(finish, numRemoved);
      }
    }
  }

  async #receive(key: string, valueBytes: number): Promise<void> {
    using reserved = await this.#storage.reserve(key, valueBytes);
    if (reserved === undefined) {
      await this.#reply(InfinistoreCode.outOfMemory);
      await this.#drain(valueBytes);
      return;
    }
    await this.#connection.readInto(reserved.bytes);
    await reserved.commit();
    await this.#reply(InfinistoreCode.finish);
  }

  async #send(key: string): Promise<void> {
    using value = await this.#storage.acquire(key);
    if (value === undefined) await this.#reply(InfinistoreCode.keyNotFound);
    else {
      const head = encodeInfinistoreReply(InfinistoreCode.finish, value.bytes.byteLength);
      await this.#connection.write([head, value.bytes]);
    }
  }

  async #drain(byteLength: number): Promise<void> {
    const nowhere = Buffer.allocUnsafe(Math.min(byteLength, DRAIN_BYTES));
    for (let rest = byteLength; rest > 0; rest -= nowhere.length) {
      await this.#connection.readInto(nowhere.subarray(0, rest));
    }
  }

  async #reply(...words: number[]): Promise<void> {
    await this.#connection.write([encodeInfinistoreReply(...words)]);
  }

  async #transfer(work: () => Promise<void>): Promise<void> {
    const timer = setTimeout(() => this.#connection[Symbol.dispose](), this.#transferMs);
    timer.unref();
    try {
      await work();
    } finally {
      clearTimeout(timer);
    }
  }
}
