import { randomBytes } from "node:crypto";
import { MiB, TierError } from "../../core/index.ts";
import { Connection, ConnectionError, ConnectionPool } from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteCall, RemoteStore } from "../remote-store.ts";
import { Turns } from "../turns.ts";
import { InfinistoreClient } from "./infinistore-client.ts";

/**
 * Values in an InfiniStore, each as two keys, because its server crashes when somebody gets a key whose put has not
 * ended, says that such a key exists, and loses keys that are put twice:
 * ```
 * <name>#<id>     the value; the id is random, so that no put ever meets a key that is there
 * <name>#         the id, put when the value is whole: one segment of TCP, so whole itself as soon as it exists
 * ```
 * What becomes of a value whose second key never came, or was evicted first: nobody asks for it, so it is evicted.
 */
export class InfinistoreRemote implements RemoteStore {
  readonly address: string;
  readonly #pool: ConnectionPool<InfinistoreClient>;
  /** Two puts of one name would both find none and put a marker twice. */
  readonly #turns = new Turns();

  constructor(host: string, port: number, options: RemoteOptions) {
    const { timeoutMs, maxConnections, clock, random } = options;
    this.address = `infinistore://${host.includes(":") ? `[${host}]` : host}:${port}`;
    this.#pool = new ConnectionPool<InfinistoreClient>({
      connect: async (signal) =>
        new InfinistoreClient(await Connection.connect({ host, port, timeoutMs, signal })),
      maxConnections,
      maxWaiting: MAX_WAITING,
      idleMs: IDLE_MS,
      clock,
      random,
    });
  }

  async lookup(names: readonly string[], call: RemoteCall): Promise<number> {
    if (names.length === 0) return 0;
    const markers = names.map(markerKey);
    return await this.#use(call, async (client) =>
      Math.min(await client.match(markers), names.length),
    );
  }

  get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    call: RemoteCall,
  ): Promise<number | undefined> {
    return this.#use(call, async (client) => {
      const key = await findValueKey(client, name);
      return key === undefined ? undefined : await client.get(key, allocate);
    });
  }

  async put(name: string, value: Uint8Array, call: RemoteCall): Promise<boolean> {
    if (value.byteLength > MAX_VALUE_BYTES) return false;
    const put = async (client: InfinistoreClient): Promise<boolean> => {
      const marker = markerKey(name);
      if (await client.exists(marker)) {
        const held = await findValueKey(client, name);
        if (held !== undefined && (await client.exists(held))) return true;
        // Its value was evicted.
        await client.remove([marker]);
      }
      const id = randomBytes(ID_BYTES).toString("hex");
      if (!(await client.put(marker + id, value))) return false;
      if (await client.exists(marker)) {
        // Somebody was faster.
        await client.remove([marker + id]);
        return true;
      }
      return await client.put(marker, Buffer.from(id));
    };
    return await this.#turns.run(name, call.signal, () => this.#use(call, put));
  }

  remove(names: readonly string[], call: RemoteCall): Promise<number> {
    return this.#use(call, async (client) => {
      let numRemoved = 0;
      for (const name of names) {
        const key = await findValueKey(client, name);
        if (key === undefined) continue;
        // The marker alone first: nobody is to find a value that is being removed.
        numRemoved += await client.remove([markerKey(name)]);
        await client.remove([key]);
      }
      return numRemoved;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }

  async #use<T>(
    { priority, signal }: RemoteCall,
    exchange: (client: InfinistoreClient) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#pool.use(priority, signal, exchange);
    } catch (error) {
      if (signal.aborted || !(error instanceof ConnectionError)) throw error;
      throw new TierError(this.address, error.code, error.message, { cause: error });
    }
  }
}

/** What LMCache's connector puts at most, and what servers are therefore laid out for. */
const MAX_VALUE_BYTES = 40 * MiB;
const MAX_WAITING = 4096;
const IDLE_MS = 60_000;
const ID_BYTES = 8;

function markerKey(name: string): string {
  return `${name}#`;
}

/** @returns undefined: there is no such value, or none yet */
async function findValueKey(client: InfinistoreClient, name: string): Promise<string | undefined> {
  const marker = markerKey(name);
  if (!(await client.exists(marker))) return undefined;
  const id = Buffer.alloc(2 * ID_BYTES);
  const byteLength = await client.get(marker, (wanted) => {
    if (wanted === id.length) return id;
    throw new ConnectionError("protocol", `"${marker}" is no marker: it has ${wanted} bytes`);
  });
  return byteLength === undefined ? undefined : marker + id.toString();
}
