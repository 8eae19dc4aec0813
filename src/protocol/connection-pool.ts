import { setMaxListeners } from "node:events";
import type { Clock } from "../core/index.ts";
import { ConnectionError } from "./connection-error.ts";
import { REMOTE_PRIORITIES, type RemotePriority } from "./priority.ts";
import { RetryDelay } from "./retry-delay.ts";
import { WaitingList } from "./waiting-list.ts";

export interface PooledConnection extends Disposable {
  readonly isBroken: boolean;
  /** Since it was made. Tells whether anything of a reply has come. */
  readonly numBytesReceived: number;
}

export interface ConnectionPoolOptions<C> {
  /** Ends at the signal at the latest. */
  readonly connect: (signal: AbortSignal) => Promise<C>;
  readonly maxConnections: number;
  /** Calls that wait for a connection. One more than that costs the least urgent of them. */
  readonly maxWaiting: number;
  /** A connection that nobody used for so long is closed. */
  readonly idleMs: number;
  readonly clock: Clock;
  /** [0, 1), for jitter. */
  readonly random: () => number;
}

/** Who gave up after so long need not be followed by the next one: the server accepts and then says nothing. */
const SLOW_CONNECT_MS = 500;

/**
 * Connections to one server, each used for one exchange at a time. Waiters are served in the order of
 * REMOTE_PRIORITIES, then first come first served. What no request waits for, prefetches and puts, never takes the last
 * connection.
 *
 * An idle connection that turns out to be closed is replaced once, without a word, if nothing of a reply had come.
 * After a failed connect calls fail at once until a delay has passed; then the next call tries again.
 */
export class ConnectionPool<C extends PooledConnection> implements AsyncDisposable {
  readonly #options: ConnectionPoolOptions<C>;
  readonly #retryDelay: RetryDelay;
  readonly #waiting: WaitingList;
  readonly #maxUnawaited: number;
  /** Most recently used last. */
  readonly #idle: { readonly connection: C; readonly sinceMs: number }[] = [];
  readonly #running = new Set<Promise<unknown>>();
  /** What each of them is ended with. */
  readonly #cuts = new Set<(reason: unknown) => void>();
  #numInUse = 0;
  #numUnawaited = 0;
  #idleTimer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(options: ConnectionPoolOptions<C>) {
    this.#options = options;
    this.#retryDelay = new RetryDelay(options.clock, options.random);
    this.#waiting = new WaitingList(options.maxWaiting);
    this.#maxUnawaited = Math.max(1, options.maxConnections - 1);
  }

  get numInUse(): number {
    return this.#numInUse;
  }
  get numIdle(): number {
    return this.#idle.length;
  }
  get numWaiting(): number {
    return this.#waiting.length;
  }

  /**
   * Runs one exchange. When it rejects, or at an abort, its connection is dropped: what it was reading into is not
   * touched any more once this has settled. It may be run a second time, on a fresh connection (see above).
   */
  async use<T>(
    priority: RemotePriority,
    signal: AbortSignal,
    exchange: (connection: C) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    if (this.#isClosed) throw poolClosed();
    // Many calls at a time may share one signal, and that is no leak.
    setMaxListeners(0, signal);
    if (this.#hasRoom(priority)) this.#enter(priority);
    else await this.#waiting.wait(priority, signal);
    try {
      return await this.#runTracked(signal, exchange);
    } finally {
      this.#leave(priority);
    }
  }

  /** Ends what runs and waits, and closes all connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#waiting.rejectAll(poolClosed());
    for (const cut of this.#cuts) cut(poolClosed());
    this.#closeIdle(0);
    await Promise.allSettled(this.#running);
  }

  #hasRoom(priority: RemotePriority): boolean {
    if (this.#numInUse >= this.#options.maxConnections) return false;
    return isAwaited(priority) || this.#numUnawaited < this.#maxUnawaited;
  }

  #enter(priority: RemotePriority): void {
    this.#numInUse++;
    if (!isAwaited(priority)) this.#numUnawaited++;
  }

  #leave(priority: RemotePriority): void {
    this.#numInUse--;
    if (!isAwaited(priority)) this.#numUnawaited--;
    for (const next of REMOTE_PRIORITIES) {
      // In the same turn, so that nobody slips in between.
      while (this.#hasRoom(next) && this.#waiting.callNext(next)) this.#enter(next);
    }
  }

  async #runTracked<T>(signal: AbortSignal, exchange: (connection: C) => Promise<T>): Promise<T> {
    const running = this.#run(signal, exchange);
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  async #run<T>(signal: AbortSignal, exchange: (connection: C) => Promise<T>): Promise<T> {
    const used = this.#takeIdle();
    if (used !== undefined) {
      const numBytesBefore = used.numBytesReceived;
      try {
        return await this.#exchangeOn(used, signal, exchange);
      } catch (error) {
        const isClosedByPeer = error instanceof ConnectionError && error.code === "unavailable";
        if (!isClosedByPeer || used.numBytesReceived > numBytesBefore) throw error;
      }
    }
    return await this.#exchangeOn(await this.#connect(signal), signal, exchange);
  }

  async #connect(signal: AbortSignal): Promise<C> {
    this.#assertWanted(signal);
    this.#retryDelay.throwIfRunning();
    const startMs = this.#options.clock.nowMs();
    const ends = new AbortController();
    const leave = this.#cutAt(signal, (reason) => ends.abort(reason));
    try {
      const connection = await this.#options.connect(ends.signal);
      this.#retryDelay.reset();
      return connection;
    } catch (error) {
      const waitedMs = this.#options.clock.nowMs() - startMs;
      if (!ends.signal.aborted) this.#retryDelay.start(error);
      else if (waitedMs >= SLOW_CONNECT_MS) this.#retryDelay.start(frozen(waitedMs));
      throw error;
    } finally {
      leave();
    }
  }

  /** Ends at the signal whatever the exchange does: without its connection it cannot go on. */
  async #exchangeOn<T>(
    connection: C,
    signal: AbortSignal,
    exchange: (connection: C) => Promise<T>,
  ): Promise<T> {
    let leave = (): void => {};
    try {
      this.#assertWanted(signal);
      const result = await new Promise<T>((resolve, reject) => {
        leave = this.#cutAt(signal, (reason) => {
          connection[Symbol.dispose]();
          reject(reason as Error);
        });
        exchange(connection).then(resolve, reject);
      });
      this.#giveBack(connection);
      return result;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    } finally {
      leave();
    }
  }

  /**
   * Has `cut` called when the caller gives up or the pool is closed. A signal of its own for each exchange would cost
   * more than all the rest here.
   *
   * @returns what ends that
   */
  #cutAt(signal: AbortSignal, cut: (reason: unknown) => void): () => void {
    const onAbort = (): void => cut(signal.reason);
    signal.addEventListener("abort", onAbort);
    this.#cuts.add(cut);
    return () => {
      signal.removeEventListener("abort", onAbort);
      this.#cuts.delete(cut);
    };
  }

  #assertWanted(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#isClosed) throw poolClosed();
  }

  #takeIdle(): C | undefined {
    for (;;) {
      const connection = this.#idle.pop()?.connection;
      if (connection === undefined || !connection.isBroken) return connection;
      connection[Symbol.dispose]();
    }
  }

  #giveBack(connection: C): void {
    if (connection.isBroken || this.#isClosed) {
      connection[Symbol.dispose]();
      return;
    }
    this.#idle.push({ connection, sinceMs: this.#options.clock.nowMs() });
    this.#idleTimer ??= setTimeout(() => this.#closeIdle(), this.#options.idleMs).unref();
  }

  /** Closes what nobody used for `idleMs`, and comes back for the rest. */
  #closeIdle(idleMs = this.#options.idleMs): void {
    clearTimeout(this.#idleTimer);
    const nowMs = this.#options.clock.nowMs();
    while (this.#idle[0] !== undefined && nowMs - this.#idle[0].sinceMs >= idleMs) {
      this.#idle.shift()!.connection[Symbol.dispose]();
    }
    const oldest = this.#idle[0];
    this.#idleTimer =
      oldest &&
      setTimeout(() => this.#closeIdle(), Math.max(1, oldest.sinceMs + idleMs - nowMs)).unref();
  }
}

/** By a request. */
function isAwaited(priority: RemotePriority): boolean {
  return priority === "lookup" || priority === "get";
}

function poolClosed(): ConnectionError {
  return new ConnectionError("closed", "The connections were closed");
}

function frozen(waitedMs: number): ConnectionError {
  return new ConnectionError("timeout", `No connection within ${Math.round(waitedMs)} ms`);
}
