import type { ChunkKey } from "../../core/index.ts";
import type { KvBuffer, MemoryPool } from "../../memory/index.ts";
import type { RemotePriority, RemoteStore } from "../../remotes/index.ts";
import { readChunkHeader } from "../chunk-file.ts";
import type { ChunkSerde } from "./chunk-serde.ts";
import { Deadline } from "./deadline.ts";
import type { KnownChunks } from "./known-chunks.ts";
import type { LeasedChunks } from "./leased-chunks.ts";
import type { TierCounters } from "../tier-counters.ts";
import type { RemoteHealth } from "./remote-health.ts";

export interface ChunkFetcherOptions {
  readonly store: RemoteStore;
  readonly serde: ChunkSerde;
  readonly pool: MemoryPool;
  readonly nameOf: (key: ChunkKey) => string;
  readonly timeoutMs: number;
  /** What is longer is no chunk and no state part. */
  readonly maxChunkBytes: number;
  readonly known: KnownChunks;
  readonly leased: LeasedChunks;
  readonly counters: TierCounters;
  readonly health: RemoteHealth;
}

/** Gets the chunk, or undefined when it cannot be had. Owns the buffer. Called later or at once. */
type OnFetched = (buffer: KvBuffer | undefined) => void;

interface Fetch {
  readonly deadline: Deadline;
  readonly priority: RemotePriority;
  readonly waiters: Set<OnFetched>;
  /** Set when the chunk is removed meanwhile: whoever waits may have it, and nobody else. */
  isStale: boolean;
}

/** Where a value is read to. Nothing tells its length before it comes. */
interface Room {
  buffer: KvBuffer;
}

/** Reads chunks straight into slabs of the pool: each once, however many want it at the same time. */
export class ChunkFetcher {
  readonly #options: ChunkFetcherOptions;
  readonly #fetches = new Map<ChunkKey, Fetch>();
  readonly #running = new Set<Promise<void>>();

  constructor(options: ChunkFetcherOptions) {
    this.#options = options;
  }

  /**
   * @param priority counts for who comes first; whoever joins has its fetch
   * @returns how to leave, after which `done` is not called any more; undefined when the pool has no slab
   *   to read into: `done` is then never called
   */
  start(key: ChunkKey, done: OnFetched, priority: RemotePriority): (() => void) | undefined {
    let fetch = this.#fetches.get(key);
    if (fetch === undefined || fetch.deadline.signal.aborted) {
      if (this.#options.health.isDown) {
        done(undefined);
        return () => {};
      }
      // Before the length is known: what waits for its turn must not find the pool full then.
      const buffer = this.#options.pool.tryAllocate(this.#options.pool.slabBytes);
      if (buffer === undefined) return undefined;
      fetch = this.#begin(key, buffer, priority);
    }
    const { waiters, deadline } = fetch;
    waiters.add(done);
    return () => {
      if (waiters.delete(done) && waiters.size === 0) deadline.cancel();
    };
  }

  /** What is under way of this chunk is not for those who come from now on. */
  disown(key: ChunkKey): void {
    const fetch = this.#fetches.get(key);
    if (fetch === undefined) return;
    fetch.isStale = true;
    this.#fetches.delete(key);
  }

  /** Ends all fetches. Resolves when none of them touches the pool any more. */
  async close(): Promise<void> {
    for (const { deadline } of this.#fetches.values()) deadline.cancel();
    await Promise.all(this.#running);
  }

  #begin(key: ChunkKey, buffer: KvBuffer, priority: RemotePriority): Fetch {
    const deadline = new Deadline(this.#options.store.address, this.#options.timeoutMs);
    const fetch: Fetch = { deadline, priority, waiters: new Set(), isStale: false };
    this.#fetches.set(key, fetch);
    const running = this.#run(key, buffer, fetch).finally(() => {
      this.#running.delete(running);
    });
    this.#running.add(running);
    return fetch;
  }

  async #run(key: ChunkKey, slab: KvBuffer, fetch: Fetch): Promise<void> {
    const { health, leased } = this.#options;
    using deadline = fetch.deadline;
    const room: Room = { buffer: slab };
    let isWhole = false;
    try {
      isWhole = await this.#get(key, room, fetch);
    } catch (error) {
      const failure = deadline.explain(error);
      if (failure !== undefined) health.report(failure);
    }
    const { buffer } = room;
    if (this.#fetches.get(key) === fetch) this.#fetches.delete(key);
    if (isWhole && !fetch.isStale) leased.share(key, buffer);
    for (const done of fetch.waiters) done(isWhole ? buffer.retain() : undefined);
    buffer[Symbol.dispose]();
  }

  async #get(key: ChunkKey, room: Room, fetch: Fetch): Promise<boolean> {
    const { store, serde, nameOf, known, health, maxChunkBytes } = this.#options;
    let isTooLarge = false;
    let isRefused = false;
    const allocate = (byteLength: number): Uint8Array | undefined => {
      isTooLarge = byteLength > maxChunkBytes;
      isRefused = isTooLarge || !this.#grow(room, byteLength);
      return isRefused ? undefined : serde.place(room.buffer.capacity, byteLength);
    };
    const { priority } = fetch;
    const { signal } = fetch.deadline;
    const byteLength = await store.get(nameOf(key), allocate, { signal, priority });
    // Somebody has evicted it.
    if (byteLength === undefined && !isRefused) known.delete(key);
    let fault = isTooLarge ? "it is larger than a chunk" : undefined;
    if (byteLength !== undefined) {
      const isWhole = await serde.decode(room.buffer, byteLength);
      fault = isWhole ? faultOf(room.buffer, key) : "no whole value of this form";
    }
    if (fault !== undefined) this.#removeDamaged(key, fault);
    if (byteLength === undefined || fault !== undefined) return false;
    if (!fetch.isStale) known.add(key, byteLength);
    health.worked();
    return true;
  }

  /** A state part may take many slabs. @returns false when the pool has no room for it */
  #grow(room: Room, byteLength: number): boolean {
    if (byteLength <= room.buffer.capacityBytes) return true;
    const longer = this.#options.pool.tryAllocate(byteLength);
    if (longer === undefined) return false;
    room.buffer[Symbol.dispose]();
    room.buffer = longer;
    return true;
  }

  #removeDamaged(key: ChunkKey, reason: string): void {
    const { store, nameOf, known, counters, health, timeoutMs } = this.#options;
    known.delete(key);
    counters.damaged(key, reason);
    const deadline = new Deadline(store.address, timeoutMs);
    const removing = store
      .remove([nameOf(key)], { signal: deadline.signal, priority: "put" })
      .then(
        () => {},
        (error: unknown) => health.report(deadline.explain(error)),
      )
      .finally(() => {
        deadline[Symbol.dispose]();
        this.#running.delete(removing);
      });
    this.#running.add(removing);
  }
}

/** Why these bytes are not the chunk of this key. The payload is checked when it is used. */
function faultOf(buffer: KvBuffer, key: ChunkKey): string | undefined {
  const header = readChunkHeader(buffer.bytes);
  if (header === undefined) return "no whole header of this version";
  if (header.key !== key) return "the header has another key";
  return header.headerBytes + header.payloadBytes === buffer.byteLength
    ? undefined
    : "it has another size than its header says";
}
