import type { ChunkKey } from "../../core/index.ts";
import type { KvBuffer } from "../../memory/index.ts";
import type { RemoteStore } from "../../remotes/index.ts";
import type { Chunk } from "../tier.ts";
import type { ChunkSerde } from "./chunk-serde.ts";
import { Deadline } from "./deadline.ts";
import type { KnownChunks } from "./known-chunks.ts";
import type { TierCounters } from "../tier-counters.ts";
import type { RemoteHealth } from "./remote-health.ts";

/** More would take the connections from those who wait for an answer. */
const MAX_PUTS_AT_ONCE = 2;
/** Nobody waits for a put. One that does not move at all ends much sooner, with its connection. */
const PUT_TIMEOUT_MS = 60_000;

export interface ChunkPutterOptions {
  readonly store: RemoteStore;
  readonly serde: ChunkSerde;
  readonly nameOf: (key: ChunkKey) => string;
  /** Accepted and not yet put; the bytes stay in the pool as long. */
  readonly maxInFlightBytes: number;
  readonly known: KnownChunks;
  readonly counters: TierCounters;
  readonly health: RemoteHealth;
}

interface Put {
  readonly key: ChunkKey;
  readonly buffer: KvBuffer;
  /** Resolves when it is over; to whether the store may have the chunk now. */
  readonly ended: Promise<boolean>;
  readonly end: (mayBeStored: boolean) => void;
  isCancelled: boolean;
}

/** Puts chunks behind the requests, in the order in which they came. */
export class ChunkPutter {
  readonly #options: ChunkPutterOptions;
  /** Waiting and under way. */
  readonly #puts = new Map<ChunkKey, Put>();
  readonly #waiting: Put[] = [];
  /** Of those under way. */
  readonly #deadlines = new Set<Deadline>();
  #inFlightBytes = 0;

  constructor(options: ChunkPutterOptions) {
    this.#options = options;
  }

  get numPending(): number {
    return this.#puts.size;
  }

  pendingKeys(): ChunkKey[] {
    return [...this.#puts.keys()];
  }

  /** A chunk that was accepted and can be served from here. */
  get(key: ChunkKey): KvBuffer | undefined {
    const put = this.#puts.get(key);
    return put?.isCancelled ? undefined : put?.buffer;
  }

  /** @returns whether the chunk will be put, if the store lets us */
  accept({ key, buffer }: Chunk): boolean {
    const { maxInFlightBytes, health } = this.#options;
    if (health.isDown || this.#puts.has(key)) return false;
    if (this.#inFlightBytes + buffer.capacityBytes > maxInFlightBytes) return false;
    this.#inFlightBytes += buffer.capacityBytes;
    let end!: Put["end"];
    const ended = new Promise<boolean>((resolve) => (end = resolve));
    const put: Put = { key, buffer: buffer.retain(), ended, end, isCancelled: false };
    this.#puts.set(key, put);
    this.#waiting.push(put);
    this.#startNext();
    return true;
  }

  /**
   * Sees to it that nothing is put under the key any more.
   *
   * @returns whether a chunk that waited was given up before the store saw it
   */
  async cancel(key: ChunkKey): Promise<boolean> {
    const put = this.#puts.get(key);
    if (put === undefined) return false;
    const wasPending = !put.isCancelled;
    put.isCancelled = true;
    const turn = this.#waiting.indexOf(put);
    if (turn >= 0) {
      this.#waiting.splice(turn, 1);
      this.#finish(put, false);
    }
    return !(await put.ended) && wasPending;
  }

  /** Resolves when none of the chunks is pending. */
  async settled(keys: readonly ChunkKey[]): Promise<void> {
    for (const key of keys) await this.#puts.get(key)?.ended;
  }

  async flush(): Promise<void> {
    await Promise.all(Array.from(this.#puts.values(), (put) => put.ended));
  }

  /** Gives up what is pending. Resolves when none of it touches the pool any more. */
  async close(): Promise<void> {
    for (const put of this.#puts.values()) put.isCancelled = true;
    for (const deadline of this.#deadlines) deadline.cancel();
    await this.flush();
  }

  #startNext(): void {
    while (this.#deadlines.size < MAX_PUTS_AT_ONCE) {
      const put = this.#waiting.shift();
      if (put === undefined) return;
      void this.#run(put);
    }
  }

  async #run(put: Put): Promise<void> {
    const { store, counters } = this.#options;
    using deadline = new Deadline(store.address, PUT_TIMEOUT_MS);
    this.#deadlines.add(deadline);
    const isStored = await this.#put(put, deadline);
    if (isStored === false) counters.refused(1);
    this.#deadlines.delete(deadline);
    this.#finish(put, isStored === true);
    this.#startNext();
  }

  #finish(put: Put, mayBeStored: boolean): void {
    this.#puts.delete(put.key);
    this.#inFlightBytes -= put.buffer.capacityBytes;
    put.buffer[Symbol.dispose]();
    put.end(mayBeStored);
  }

  /** @returns undefined if the chunk was no longer to be put */
  async #put(put: Put, deadline: Deadline): Promise<boolean | undefined> {
    const { store, serde, nameOf, known, counters, health } = this.#options;
    const { key, buffer } = put;
    if (put.isCancelled) return undefined;
    if (health.isDown) return false;
    using value = await serde.encode(buffer);
    if (value === undefined) return false;
    try {
      const call = { signal: deadline.signal, priority: "put" } as const;
      if (!(await store.put(nameOf(key), value.bytes, call))) return false;
    } catch (error) {
      const failure = deadline.explain(error);
      if (failure !== undefined) health.report(failure);
      return false;
    }
    known.add(key, value.byteLength);
    counters.numStored++;
    health.worked();
    return true;
  }
}
