import { setImmediate as nextTurn } from "node:timers/promises";
import type { ChunkKey } from "../../core/index.ts";
import type { KvBuffer } from "../../memory/index.ts";
import type { Lease } from "../tier.ts";
import { ReadAhead, type StartRead } from "./read-ahead.ts";

export interface DiskLeaseOptions {
  readonly keys: readonly ChunkKey[];
  /** Of the chunks that were still being written: they are served from there, come what may. */
  readonly buffers: ReadonlyMap<ChunkKey, KvBuffer>;
  /** Reads under way at once for one load. */
  readonly numReadAhead: number;
  readonly startRead: StartRead;
  readonly onDispose: () => void;
}

/**
 * Holds chunks of the disk tier, for this process: another one on the same directory may evict their
 * files, which is a short load.
 */
export class DiskLease implements Lease {
  readonly keys: readonly ChunkKey[];
  readonly #options: DiskLeaseOptions;
  #isDisposed = false;

  constructor(options: DiskLeaseOptions) {
    this.keys = options.keys;
    this.#options = options;
  }

  async *load(from: number, signal: AbortSignal): AsyncGenerator<KvBuffer, void, undefined> {
    const reads = new ReadAhead();
    // A disk that hangs does not hang who gives up waiting for it.
    const onAbort = (): void => reads.cancel();
    signal.addEventListener("abort", onAbort);
    let next = from;
    try {
      while (!signal.aborted) {
        while (next < this.keys.length && reads.size < this.#options.numReadAhead) {
          if (!reads.begin(this.keys[next]!, this.#startRead)) break;
          next++;
          // It did not take a disk: whoever waits for the chunks has this one before the next is read.
          if (reads.isLastDone) break;
        }
        if (reads.isWaiting) await reads.settled();
        const buffer = reads.take();
        if (buffer === undefined) return;
        yield buffer;
        // Copies in memory follow each other without a pause: let others have their turn.
        if (reads.size === 0) await nextTurn();
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      reads.cancel();
    }
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const buffer of this.#options.buffers.values()) buffer[Symbol.dispose]();
    this.#options.onDispose();
  }

  readonly #startRead: StartRead = (key, reader, done) => {
    const buffer = this.#isDisposed ? undefined : this.#options.buffers.get(key);
    if (!this.#isDisposed && buffer === undefined) {
      return this.#options.startRead(key, reader, done);
    }
    done(buffer?.retain());
    return true;
  };
}
