import {
  type ChunkKey,
  type Logger,
  TierError,
  isDoneWithin,
  silentLogger,
} from "../../core/index.ts";
import type { KvBuffer, MemoryPool } from "../../memory/index.ts";
import type { RemoteCall, RemotePriority, RemoteStore } from "../../remotes/index.ts";
import { type ChunkNaming, chunkNamePrefix } from "../disk/index.ts";
import type { Chunk, ChunkClaims, Lease, LoadPriority, Tier, TierStats } from "../tier.ts";
import { ChunkFetcher } from "./chunk-fetcher.ts";
import { ChunkPutter } from "./chunk-putter.ts";
import { type ChunkSerde, naiveSerde } from "./chunk-serde.ts";
import { Deadline } from "./deadline.ts";
import { KnownChunks, MAX_KNOWN_CHUNKS } from "./known-chunks.ts";
import { LeasedChunks } from "./leased-chunks.ts";
import { TierCounters } from "../tier-counters.ts";
import { RemoteClaims } from "./remote-claims.ts";
import { RemoteHealth } from "./remote-health.ts";
import { RemoteLease } from "./remote-lease.ts";

const NAME = "RemoteBackend";
/** What the smallest of the protocols allows. */
const MAX_NAME_BYTES = 150;
/** To ask what is there takes milliseconds, unless one side is very busy. */
const LOOKUP_TIMEOUT_MS = 2_000;
/** Accepted chunks that are not put by then are given up. */
const CLOSE_TIMEOUT_MS = 10_000;
/** Read ahead of the engine for one load: enough to fill a fast network, little of the pool. */
const MAX_READ_AHEAD_BYTES = 32 << 20;
/** What the engine is given together, if it comes together. */
const GATHERED_BYTES = 4 << 20;
const MAX_READ_AHEAD_CHUNKS = 64;
const NAMES_PER_REMOVAL = 512;

export interface RemoteTierOptions extends Partial<Omit<ChunkNaming, "format">> {
  /** Owned. */
  readonly store: RemoteStore;
  readonly pool: MemoryPool;
  readonly modelName: string;
  /** Default: chunks are stored as they are. */
  readonly serde?: ChunkSerde | undefined;
  /** The longest that one chunk may take. */
  readonly timeoutMs: number;
  /** The longest chunk or state part, with its header; a longer value is removed. Default: one slab. */
  readonly maxChunkBytes?: number | undefined;
  /** Accepted and not yet put; the bytes stay in the pool as long. Default: a quarter of the pool. */
  readonly maxInFlightBytes?: number | undefined;
  readonly logger?: Logger | undefined;
  readonly random?: (() => number) | undefined;
}

/**
 * Chunks in a store that many processes share, one value each, named by their keys. Written behind the
 * request, read straight into the pool.
 *
 * Only the store knows what it holds, so each lookup asks it, in one round trip. Others may evict at any
 * time: a lease here holds nothing but this process's interest, and a chunk that has gone is a short load.
 * Counters, levels and `clear` are about the chunks that this process put or got.
 *
 * A store that fails is a miss, a metric and a pause (see RemoteHealth). Nothing here rejects but a
 * closed tier.
 */
export class RemoteTier implements Tier {
  readonly name: string = NAME;
  readonly claims: ChunkClaims | undefined;
  readonly #store: RemoteStore;
  readonly #pool: MemoryPool;
  readonly #namePrefix: string;
  readonly #timeoutMs: number;
  readonly #known = new KnownChunks();
  readonly #counters = new TierCounters(NAME);
  readonly #leased: LeasedChunks;
  readonly #health: RemoteHealth;
  readonly #fetcher: ChunkFetcher;
  readonly #putter: ChunkPutter;
  #closing: Promise<void> | undefined;

  constructor(options: RemoteTierOptions) {
    const {
      store,
      pool,
      serde = naiveSerde,
      timeoutMs,
      maxChunkBytes = pool.slabBytes,
      logger = silentLogger,
      random = Math.random,
    } = options;
    const quarterBytes = Math.max(pool.slabBytes, pool.capacityBytes / 4);
    this.#store = store;
    this.#pool = pool;
    this.#timeoutMs = timeoutMs;
    this.#namePrefix = chunkNamePrefix(
      {
        format: serde.format,
        modelName: options.modelName,
        worldSize: options.worldSize ?? 1,
        workerId: options.workerId ?? 0,
      },
      MAX_NAME_BYTES,
    );
    const leased = (this.#leased = new LeasedChunks(quarterBytes));
    pool.addReclaimer(leased);
    this.#health = new RemoteHealth({
      tier: NAME,
      address: store.address,
      probe: (signal) => store.lookup([`${this.#namePrefix}probe`], { signal, priority: "lookup" }),
      logger,
      random,
    });
    const parts = {
      store,
      serde,
      nameOf: (key: ChunkKey) => this.#namePrefix + key,
      known: this.#known,
      counters: this.#counters,
      health: this.#health,
    };
    this.#fetcher = new ChunkFetcher({ ...parts, pool, timeoutMs, maxChunkBytes, leased });
    const { maxInFlightBytes = quarterBytes } = options;
    this.#putter = new ChunkPutter({ ...parts, maxInFlightBytes });
    this.claims = RemoteClaims.of({ ...parts, putter: this.#putter, logger });
  }

  get isUp(): boolean {
    return !this.#health.isDown;
  }

  async lookup(keys: readonly ChunkKey[]): Promise<number> {
    return await this.#numHeld(keys);
  }

  async acquire(keys: readonly ChunkKey[]): Promise<Lease> {
    const held = keys.slice(0, await this.#numHeld(keys));
    this.#leased.hold(held);
    this.#counters.acquired(held.length, keys.length);
    const buffers = new Map<ChunkKey, KvBuffer>();
    for (const key of held) {
      const pending = this.#putter.get(key);
      if (pending !== undefined) buffers.set(key, pending.retain());
    }
    const { slabBytes } = this.#pool;
    const maxReadAhead = Math.floor(MAX_READ_AHEAD_BYTES / slabBytes);
    return new RemoteLease({
      keys: held,
      buffers,
      maxReadAhead: Math.min(Math.max(maxReadAhead, 2), MAX_READ_AHEAD_CHUNKS),
      numGathered: Math.max(1, Math.floor(GATHERED_BYTES / slabBytes)),
      fetch: (key, done, priority) => this.#fetch(key, done, priority),
      onDispose: () => this.#leased.release(held),
    });
  }

  async store(chunks: readonly Chunk[]): Promise<number> {
    this.#assertOpen();
    let numStored = 0;
    for (const chunk of chunks) {
      const isHeld = this.#known.has(chunk.key) || this.#putter.get(chunk.key) !== undefined;
      if (!isHeld && !this.#putter.accept(chunk)) break;
      numStored++;
    }
    this.#counters.refused(chunks.length - numStored);
    return numStored;
  }

  async remove(keys: readonly ChunkKey[]): Promise<number> {
    this.#assertOpen();
    const cancelled = await Promise.all(keys.map((key) => this.#putter.cancel(key)));
    for (const key of keys) {
      this.#known.delete(key);
      this.#leased.drop(key);
      this.#fetcher.disown(key);
    }
    let numRemoved = cancelled.filter(Boolean).length;
    for (let start = 0; start < keys.length; start += NAMES_PER_REMOVAL) {
      const names = keys.slice(start, start + NAMES_PER_REMOVAL).map((key) => this.#nameOf(key));
      numRemoved += await this.#call(this.#timeoutMs, (call) => this.#store.remove(names, call));
    }
    return numRemoved;
  }

  /** Of what this process knows of. The store is not its own. */
  async clear(): Promise<number> {
    this.#assertOpen();
    const keys = [...this.#known.keys(), ...this.#putter.pendingKeys()];
    return await this.remove(keys.filter((key) => !this.#leased.isLeased(key)));
  }

  async flush(): Promise<void> {
    await this.#putter.flush();
  }

  stats(): TierStats {
    return {
      numChunks: this.#known.size + this.#putter.numPending,
      usedBytes: this.#known.totalBytes,
      // What the store itself may hold nobody tells us.
      capacityBytes: MAX_KNOWN_CHUNKS * this.#pool.slabBytes,
      ...this.#counters.counts(),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await isDoneWithin(CLOSE_TIMEOUT_MS, this.#putter.flush());
    this.#health[Symbol.dispose]();
    await Promise.all([this.#putter.close(), this.#fetcher.close()]);
    this.#leased.clear();
    await this.#store[Symbol.asyncDispose]();
  }

  #fetch(
    key: ChunkKey,
    done: (buffer: KvBuffer | undefined) => void,
    priority: LoadPriority,
  ): (() => void) | undefined {
    const shared = this.#leased.get(key);
    // Once the tier is closed the pool may go.
    if (shared === undefined && this.#closing === undefined) {
      return this.#fetcher.start(key, done, priority === "request" ? "get" : "prefetch");
    }
    done(shared);
    return () => {};
  }

  async #numHeld(keys: readonly ChunkKey[]): Promise<number> {
    this.#assertOpen();
    const isPending = keys.map((key) => this.#putter.get(key) !== undefined);
    const asked = keys.filter((_, index) => !isPending[index]);
    const names = asked.map((key) => this.#nameOf(key));
    const isAsked = asked.length > 0 && !this.#health.isDown;
    const numFound = isAsked
      ? await this.#call(LOOKUP_TIMEOUT_MS, (call) => this.#store.lookup(names, call), "lookup")
      : 0;
    // What is behind the first gap may be there, and to put it again costs little.
    if (isAsked && !this.#health.isDown)
      for (const key of asked.slice(numFound)) this.#known.delete(key);
    const gap = asked[numFound];
    return gap === undefined ? keys.length : keys.indexOf(gap);
  }

  /** @returns 0 when the store fails */
  async #call(
    timeoutMs: number,
    call: (call: RemoteCall) => Promise<number>,
    priority: RemotePriority = "put",
  ): Promise<number> {
    if (this.#health.isDown) return 0;
    using deadline = new Deadline(this.#store.address, Math.min(timeoutMs, this.#timeoutMs));
    try {
      return await call({ signal: deadline.signal, priority });
    } catch (error) {
      this.#health.report(deadline.explain(error));
      return 0;
    }
  }

  #nameOf(key: ChunkKey): string {
    return this.#namePrefix + key;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new TierError(NAME, "closed", "The tier is closed");
  }
}
