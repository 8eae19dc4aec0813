import { type ChunkKey, TierError } from "../core/index.ts";
import type { KvBuffer, MemoryPool } from "../memory/index.ts";
import type { EvictionPolicy } from "./policies/index.ts";
import type { Chunk, Lease, Tier, TierStats } from "./tier.ts";
import { TierCounters } from "./tier-counters.ts";

const NAME = "LocalCPUBackend";
/**
 * How many held chunks an eviction looks past before it gives up. Only chunks without a resident
 * child are candidates, so this is about the number of prompts that are in use at the same time.
 */
const MAX_EVICTION_PROBES = 1024;

export interface CpuTierOptions {
  /** Where the chunks that come in were allocated. */
  readonly pool: MemoryPool;
  readonly policy: EvictionPolicy;
  /** Default: the whole pool. Less leaves room for chunks on their way to and from other tiers. */
  readonly capacityBytes?: number | undefined;
}

/**
 * Chunks that stay in the pool: to store one is to hold a handle on it, to load it is to share that.
 * No byte moves, and no call waits. An allocation that finds the pool full evicts from here.
 */
export class CpuTier implements Tier {
  readonly name: string = NAME;
  readonly #entries = new Map<ChunkKey, Entry>();
  /** By the first slab. */
  readonly #keysBySlab = new Map<number, ChunkKey>();
  readonly #policy: EvictionPolicy;
  readonly #capacityBytes: number;
  #usedBytes = 0;
  readonly #counters = new TierCounters(NAME);
  #isClosed = false;

  constructor(options: CpuTierOptions) {
    this.#policy = options.policy;
    this.#capacityBytes = options.capacityBytes ?? options.pool.capacityBytes;
    options.pool.addReclaimer({
      reclaim: (isUseful) =>
        this.#evict((_, entry) => isShared(entry) || isUseful?.(entry.buffer.slab) === false),
      canReclaimAt: (slab) => {
        const entry = this.#entryAt(slab);
        return entry !== undefined && entry.numLeases === 0 && !isShared(entry);
      },
      reclaimAt: (slab) => this.#evictChunk(this.#keysBySlab.get(slab)!),
    });
  }

  /** What is resident, in no order. */
  keys(): MapIterator<ChunkKey> {
    return this.#entries.keys();
  }

  /** The tier's own handle, to look at at once; no use of the chunk. */
  peek(key: ChunkKey): KvBuffer | undefined {
    return this.#entries.get(key)?.buffer;
  }

  async lookup(keys: readonly ChunkKey[]): Promise<number> {
    return this.#numResident(keys);
  }

  async acquire(keys: readonly ChunkKey[]): Promise<Lease> {
    const held = keys.slice(0, this.#numResident(keys));
    this.#policy.touch(held);
    this.#counters.acquired(held.length, keys.length);
    return new CpuLease(
      held,
      held.map((key) => this.#entries.get(key)!),
    );
  }

  async store(chunks: readonly Chunk[]): Promise<number> {
    this.#assertOpen();
    let numStored = 0;
    for (const chunk of chunks) {
      if (!this.#entries.has(chunk.key)) {
        if (!this.#makeRoom(chunk, chunks)) break;
        this.#add(chunk);
      }
      numStored++;
    }
    this.#counters.refused(chunks.length - numStored);
    return numStored;
  }

  async remove(keys: readonly ChunkKey[]): Promise<number> {
    this.#assertOpen();
    let numRemoved = 0;
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry === undefined) continue;
      this.#drop(key, entry);
      numRemoved++;
    }
    return numRemoved;
  }

  async clear(): Promise<number> {
    this.#assertOpen();
    let numRemoved = 0;
    for (const [key, entry] of this.#entries) {
      if (entry.numLeases > 0) continue;
      this.#drop(key, entry);
      numRemoved++;
    }
    return numRemoved;
  }

  async flush(): Promise<void> {}

  stats(): TierStats {
    return {
      numChunks: this.#entries.size,
      usedBytes: this.#usedBytes,
      capacityBytes: this.#capacityBytes,
      ...this.#counters.counts(),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const [key, entry] of this.#entries) this.#drop(key, entry);
  }

  #numResident(keys: readonly ChunkKey[]): number {
    this.#assertOpen();
    let num = 0;
    while (num < keys.length && this.#entries.has(keys[num]!)) num++;
    return num;
  }

  #add(chunk: Chunk): void {
    this.#entries.set(chunk.key, { buffer: chunk.buffer.retain(), numLeases: 0, isResident: true });
    this.#keysBySlab.set(chunk.buffer.slab, chunk.key);
    this.#policy.add(chunk.key, chunk.parent);
    this.#usedBytes += chunk.buffer.capacityBytes;
    this.#counters.numStored++;
  }

  #drop(key: ChunkKey, entry: Entry): void {
    this.#entries.delete(key);
    this.#keysBySlab.delete(entry.buffer.slab);
    this.#policy.remove(key);
    this.#usedBytes -= entry.buffer.capacityBytes;
    entry.isResident = false;
    entry.buffer[Symbol.dispose]();
  }

  /** Evicts until the chunk fits, but never the chunks that come in with it or what they extend. */
  #makeRoom({ key, parent, buffer }: Chunk, batch: readonly Chunk[]): boolean {
    const numBytes = buffer.capacityBytes;
    if (this.#usedBytes + numBytes <= this.#capacityBytes) return true;
    if (numBytes > this.#capacityBytes || this.#policy.admits?.(key, parent) === false)
      return false;
    const family = new Set(batch.flatMap((chunk) => [chunk.key, chunk.parent]));
    while (this.#usedBytes + numBytes > this.#capacityBytes) {
      if (!this.#evict((key) => family.has(key))) return false;
    }
    return true;
  }

  #evict(mustStay: (key: ChunkKey, entry: Entry) => boolean): boolean {
    const isHeld = (key: ChunkKey): boolean => {
      const entry = this.#entries.get(key)!;
      return entry.numLeases > 0 || mustStay(key, entry);
    };
    let numProbes = 0;
    const victim = this.#policy.victim((key) => ++numProbes < MAX_EVICTION_PROBES && isHeld(key));
    if (victim === undefined || isHeld(victim)) return false;
    this.#evictChunk(victim);
    return true;
  }

  #evictChunk(key: ChunkKey): void {
    this.#drop(key, this.#entries.get(key)!);
    this.#counters.evicted(1);
  }

  #entryAt(slab: number): Entry | undefined {
    const key = this.#keysBySlab.get(slab);
    return key === undefined ? undefined : this.#entries.get(key);
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new TierError(this.name, "closed", "The tier is closed");
  }
}

interface Entry {
  readonly buffer: KvBuffer;
  numLeases: number;
  /** False once the tier has dropped it: the buffer is then no longer the tier's to share. */
  isResident: boolean;
}

/** To give up a chunk that somebody else holds too would free nothing. */
function isShared(entry: Entry): boolean {
  return entry.buffer.numHandles > 1;
}

class CpuLease implements Lease {
  readonly keys: readonly ChunkKey[];
  readonly #entries: readonly Entry[];
  #isDisposed = false;

  constructor(keys: readonly ChunkKey[], entries: readonly Entry[]) {
    this.keys = keys;
    this.#entries = entries;
    for (const entry of entries) entry.numLeases++;
  }

  async *load(from: number, signal: AbortSignal): AsyncGenerator<KvBuffer, void, undefined> {
    for (let index = from; index < this.#entries.length; index++) {
      const entry = this.#entries[index]!;
      if (signal.aborted || this.#isDisposed || !entry.isResident) return;
      yield entry.buffer.retain();
    }
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const entry of this.#entries) entry.numLeases--;
  }
}
