import type { ChunkKey } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";

/**
 * One place where chunks are kept. Batches come in prefix order and are answered by a *count*:
 * `keys[0..count)` succeeded. KV behind a gap cannot be used, so there are no bitmaps and no holes.
 *
 * A chunk never changes: storing a held key is a cheap no-op, and a chunk is visible only once it is
 * whole. A miss, a full tier, a damaged chunk are short counts. Only a broken tier rejects, always
 * with a TierError. A stack of tiers is a tier.
 */
export interface Tier extends AsyncDisposable {
  /** LMCache's name for it ("LocalCPUBackend", "LocalDiskBackend", "RemoteBackend"): in logs, metrics, settings. */
  readonly name: string;
  /** False since it failed, until something has worked again. Missing: it has nothing that could be away. */
  readonly isUp?: boolean;

  /** Where it can be told who is computing what. Missing: nowhere. */
  readonly claims?: ChunkClaims | undefined;

  /** How many leading keys are stored. Changes nothing, recency included. */
  lookup(keys: readonly ChunkKey[]): Promise<number>;

  /**
   * Holds the leading keys that are stored: none of them is evicted or removed while the lease lives.
   * Counts as a use of them.
   */
  acquire(keys: readonly ChunkKey[]): Promise<Lease>;

  /**
   * Takes chunks into the tier. The tier retains each buffer for as long as it needs it; the caller
   * keeps its own handles and may dispose them at once. Nothing is copied. May resolve before the
   * bytes are durable; such chunks are found by lookup as soon as they can be loaded.
   *
   * @returns how many leading chunks are stored now or are accepted to be
   */
  store(chunks: readonly Chunk[]): Promise<number>;

  /** Drops chunks, leased ones included (their readers keep the buffers). For damage and for users. */
  remove(keys: readonly ChunkKey[]): Promise<number>;
  /** Drops all that no lease holds. Resolves to the number dropped. */
  clear(): Promise<number>;
  /** Resolves when everything accepted so far is durable or was given up. */
  flush(): Promise<void>;
  stats(): TierStats;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Lets those who share a tier tell each other which chunks they are about to store. Never rejects. */
export interface ChunkClaims {
  /**
   * Also renews what is the owner's already. Ends after `ttlMs` unless it is renewed or released.
   *
   * @returns how many leading keys are the owner's now; undefined when nobody can tell: the tier is away
   */
  claim(keys: readonly ChunkKey[], owner: string, ttlMs: number): Promise<number | undefined>;
  /** Resolves when none of the chunks is on its way into the tier any more. */
  settled(keys: readonly ChunkKey[]): Promise<void>;
  release(keys: readonly ChunkKey[], owner: string): Promise<void>;
}

/** A chunk on its way between tiers: header and payload in pool memory, sealed by `sealChunk`. */
export interface Chunk {
  readonly key: ChunkKey;
  /** The chunk before it in its prompt: a suffix is evicted before its prefix. */
  readonly parent: ChunkKey | undefined;
  readonly buffer: KvBuffer;
}

export interface Lease extends Disposable {
  /** The leading keys of the request that are held. */
  readonly keys: readonly ChunkKey[];
  /**
   * The chunks from index `from` on, in prefix order, each as soon as it is in the pool while later ones
   * are being read. Ends early at the first one that cannot be had. The consumer disposes each
   * buffer it was given; leaving the loop cancels the rest.
   *
   * @param priority default: "request"
   */
  load(
    from: number,
    signal: AbortSignal,
    priority?: LoadPriority,
  ): AsyncGenerator<KvBuffer, void, undefined>;
}

/** Who waits for a load: a request, or nobody yet; then requests go first where tiers can tell. */
export type LoadPriority = "request" | "prefetch";

/** Counters since the start and levels now. */
export interface TierStats extends TierCounts {
  readonly numChunks: number;
  readonly usedBytes: number;
  readonly capacityBytes: number;
}

/** Since the tier was opened. */
export interface TierCounts {
  readonly numHits: number;
  readonly numMisses: number;
  readonly numStored: number;
  readonly numEvicted: number;
  /** Stores refused: no room, too much in flight. */
  readonly numRefused: number;
  /** Chunks found damaged and removed. */
  readonly numDamaged: number;
}
