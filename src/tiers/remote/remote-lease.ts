import { type ChunkKey, isDoneWithin } from "../../core/index.ts";
import type { KvBuffer } from "../../memory/index.ts";
import { ReadAhead } from "../disk/index.ts";
import type { Lease, LoadPriority } from "../tier.ts";

/**
 * Each hand-over to the engine wakes two threads, which takes processor time from the transfer itself. Chunks come
 * less than a millisecond apart on a fast network; on a slow one this is nothing.
 */
const MAX_GATHER_MS = 3;
/** A request that wants a chunk which is being prefetched waits for it: so there are few of those at a time. */
const MAX_PREFETCHES = 2;

export interface RemoteLeaseOptions {
  readonly keys: readonly ChunkKey[];
  /** Of the chunks that were still being put: they are served from there, come what may. */
  readonly buffers: ReadonlyMap<ChunkKey, KvBuffer>;
  /** Fetches under way at once for one load. */
  readonly maxReadAhead: number;
  /** Chunks that the engine had better get together. */
  readonly numGathered: number;
  /** See ChunkFetcher.start. */
  readonly fetch: (
    key: ChunkKey,
    done: (buffer: KvBuffer | undefined) => void,
    priority: LoadPriority,
  ) => (() => void) | undefined;
  readonly onDispose: () => void;
}

/** Chunks of a remote store, for as long as the store has them: nothing can be held there. */
export class RemoteLease implements Lease {
  readonly keys: readonly ChunkKey[];
  readonly #options: RemoteLeaseOptions;
  #isDisposed = false;

  constructor(options: RemoteLeaseOptions) {
    this.keys = options.keys;
    this.#options = options;
  }

  async *load(
    from: number,
    signal: AbortSignal,
    priority: LoadPriority = "request",
  ): AsyncGenerator<KvBuffer, void, undefined> {
    const isPrefetch = priority === "prefetch";
    const maxReadAhead = isPrefetch ? MAX_PREFETCHES : this.#options.maxReadAhead;
    const reads = new ReadAhead();
    const leaves: (() => void)[] = [];
    const start = (key: ChunkKey, done: (buffer: KvBuffer | undefined) => void): boolean => {
      const leave = this.#start(key, done, priority);
      if (leave !== undefined) leaves.push(leave);
      return leave !== undefined;
    };
    const stop = (): void => {
      reads.cancel();
      for (const leave of leaves.splice(0)) leave();
    };
    signal.addEventListener("abort", stop);
    let next = from;
    try {
      while (!signal.aborted) {
        while (next < this.keys.length && reads.size < maxReadAhead) {
          if (!reads.begin(this.keys[next]!, (key, _, done) => start(key, done))) break;
          next++;
        }
        if (reads.isWaiting) await this.#arrival(reads);
        const buffer = reads.take();
        if (buffer === undefined) return;
        yield buffer;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      stop();
    }
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const buffer of this.#options.buffers.values()) buffer[Symbol.dispose]();
    this.#options.onDispose();
  }

  /** Of the next chunk, and of those close behind it. */
  async #arrival(reads: ReadAhead): Promise<void> {
    await reads.settled();
    await isDoneWithin(MAX_GATHER_MS, reads.settled(this.#options.numGathered));
  }

  #start(
    key: ChunkKey,
    done: (buffer: KvBuffer | undefined) => void,
    priority: LoadPriority,
  ): (() => void) | undefined {
    const buffer = this.#isDisposed ? undefined : this.#options.buffers.get(key);
    if (buffer === undefined) return this.#options.fetch(key, done, priority);
    done(buffer.retain());
    return () => {};
  }
}
