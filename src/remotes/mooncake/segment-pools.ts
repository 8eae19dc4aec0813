import { Connection, ConnectionPool, type RemotePriority } from "../../protocol/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { SegmentDirectory } from "./segment-directory.ts";
import { SegmentConnection } from "./segment-transfer.ts";

/** One pool for each owner of memory. */
export class SegmentPools implements AsyncDisposable {
  readonly #directory: SegmentDirectory;
  readonly #options: RemoteOptions;
  readonly #isOneShot: () => boolean;
  /** Least recently used first. */
  readonly #pools = new Map<string, ConnectionPool<SegmentConnection>>();
  #isClosed = false;

  /** @param isOneShot whether owners of the cluster's release close connections behind a transfer */
  constructor(directory: SegmentDirectory, options: RemoteOptions, isOneShot: () => boolean) {
    this.#directory = directory;
    this.#options = options;
    this.#isOneShot = isOneShot;
  }

  use<T>(
    segment: string,
    priority: RemotePriority,
    signal: AbortSignal,
    exchange: (connection: SegmentConnection) => Promise<T>,
  ): Promise<T> {
    return this.#poolOf(segment).use(priority, signal, exchange);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#pools.values()].map((pool) => pool[Symbol.asyncDispose]()));
  }

  #poolOf(segment: string): ConnectionPool<SegmentConnection> {
    const pool = this.#pools.get(segment) ?? this.#open(segment);
    this.#pools.delete(segment);
    this.#pools.set(segment, pool);
    for (const [name, other] of this.#pools) {
      if (this.#pools.size <= MAX_SEGMENTS) break;
      if (other.numInUse + other.numWaiting > 0 || other === pool) continue;
      this.#pools.delete(name);
      void other[Symbol.asyncDispose]();
    }
    return pool;
  }

  #open(segment: string): ConnectionPool<SegmentConnection> {
    const { timeoutMs, maxConnections, clock, random } = this.#options;
    const habits = { isOneShot: this.#isOneShot() };
    const pool = new ConnectionPool<SegmentConnection>({
      // Located anew for every connection: an owner that restarted has another port.
      connect: async (signal) => {
        const location = await this.#directory.locate(segment, signal);
        const { host, port } = location;
        const connection = await Connection.connect({ host, port, timeoutMs, signal });
        return new SegmentConnection(connection, location, habits);
      },
      maxConnections,
      maxWaiting: MAX_WAITING,
      idleMs: IDLE_MS,
      clock,
      random,
    });
    if (this.#isClosed) void pool[Symbol.asyncDispose]();
    return pool;
  }
}

/** Every engine of a cluster may lend memory. Pools beyond that many are closed when idle. */
const MAX_SEGMENTS = 256;
const MAX_WAITING = 1024;
/** Short: segments are many. */
const IDLE_MS = 30_000;
