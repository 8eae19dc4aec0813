import { crc32 } from "node:zlib";
import { createHash } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import { CacheEngine, type PromptScope, TierStack } from "../../../src/cache/index.ts";
import type { EngineKv, EngineKvLayout, EngineKvPart } from "../../../src/connector/index.ts";
import {
  type Clock,
  type Logger,
  TierError,
  type TierErrorCode,
  alignUp,
} from "../../../src/core/index.ts";
import {
  HeapMemory,
  type KvBuffer,
  MappedMemory,
  MemoryPool,
  PAGE_BYTES,
} from "../../../src/memory/index.ts";
import {
  type Chunk,
  CpuTier,
  type Lease,
  type LoadPriority,
  LruPolicy,
  type Tier,
  type TierStats,
  chunkHeaderBytes,
} from "../../../src/tiers/index.ts";

const CHUNK_TOKENS = 256;
/** Bytes of KV per token, and in front of each part. */
export const ROW_BYTES = 16;
export const BASE_BYTES = 24;

export const layout: EngineKvLayout = {
  fingerprint: "0f".repeat(16),
  modelName: "fake",
  kvDtype: "half",
  tokenPartBytes: (numTokens) => BASE_BYTES + numTokens * ROW_BYTES,
  statePartBytes: () => 0,
};

function makePool({ numSlabs = 64, chunkTokens = CHUNK_TOKENS, isNative = true }): MemoryPool {
  const slabBytes = alignUp(
    chunkHeaderBytes(chunkTokens * 4) + layout.tokenPartBytes(chunkTokens),
    PAGE_BYTES,
  );
  const numBytes = numSlabs * slabBytes;
  return new MemoryPool(
    isNative ? new MappedMemory(numBytes) : new HeapMemory(numBytes),
    slabBytes,
  );
}

export class ManualClock implements Clock {
  ms = 1000;
  nowMs(): number {
    return this.ms;
  }
  wallMs(): number {
    return this.ms;
  }
}

export class LogLines implements Logger {
  readonly lines: string[] = [];
  debug(message: string): void {
    this.lines.push(message);
  }
  info(message: string): void {
    this.lines.push(message);
  }
  warn(message: string): void {
    this.lines.push(message);
  }
  error(message: string): void {
    this.lines.push(message);
  }
}

export interface CacheFixture {
  readonly cache: CacheEngine;
  readonly pool: MemoryPool;
  readonly cpu: CpuTier | undefined;
  readonly clock: ManualClock;
  readonly log: LogLines;
}

export interface CacheFixtureOptions {
  readonly numSlabs?: number;
  readonly chunkTokens?: number;
  /** Behind the CPU tier. */
  readonly lowerTiers?: (pool: MemoryPool) => readonly Tier[];
  readonly localCpu?: boolean;
  /** Memory that native code can reach. */
  readonly isNative?: boolean;
  /** Default: a dense model's. */
  readonly layout?: EngineKvLayout;
}

export function makeCache(options: CacheFixtureOptions = {}): CacheFixture {
  const { chunkTokens = CHUNK_TOKENS, localCpu = true } = options;
  const pool = makePool(options);
  const cpu = localCpu ? new CpuTier({ pool, policy: new LruPolicy() }) : undefined;
  const clock = new ManualClock();
  const log = new LogLines();
  const tiers = [...(cpu ? [cpu] : []), ...(options.lowerTiers?.(pool) ?? [])];
  const cache = new CacheEngine({
    instanceId: "test",
    layout: options.layout ?? layout,
    chunkTokens,
    tiers: new TierStack({ tiers, hotTier: cpu, clock, logger: log }),
    pool,
    pinTimeoutMs: 300_000,
    clock,
    logger: log,
  });
  return { cache, pool, cpu, clock, log };
}

/** Tokens that follow from a seed; the first `numShared` do not. */
export function makeTokens(numTokens: number, seed = 1, numShared = 0): Int32Array {
  return Int32Array.from({ length: numTokens }, (_, position) =>
    position < numShared ? position : (position * 7919 + seed * 104_729) % 150_000,
  );
}

/** A second tier with RAM of its own, as a stand-in for disks and remote stores. Slow by one turn per chunk. */
export class CopyTier implements Tier {
  readonly name: string;
  readonly chunks = new Map<string, Uint8Array>();
  readonly #pool: MemoryPool;
  numLoaded = 0;
  /** Of the loads. */
  readonly priorities: LoadPriority[] = [];
  numLeases = 0;
  /** What the next calls fail with. */
  failure: TierErrorCode | undefined;
  /** Calls hang until this resolves. */
  gate: Promise<void> = Promise.resolve();

  constructor(pool: MemoryPool, name = "LocalDiskBackend") {
    this.#pool = pool;
    this.name = name;
  }

  async lookup(keys: readonly string[]): Promise<number> {
    await this.#enter();
    const missing = keys.findIndex((key) => !this.chunks.has(key));
    return missing < 0 ? keys.length : missing;
  }

  async acquire(keys: readonly Chunk["key"][]): Promise<Lease> {
    const held = keys.slice(0, await this.lookup(keys));
    let isDisposed = false;
    this.numLeases++;
    return {
      keys: held,
      load: (from, signal, priority = "request") => {
        this.priorities.push(priority);
        return this.#load(held.slice(from), signal);
      },
      [Symbol.dispose]: () => {
        if (!isDisposed) this.numLeases--;
        isDisposed = true;
      },
    };
  }

  async store(chunks: readonly Chunk[]): Promise<number> {
    await this.#enter();
    for (const { key, buffer } of chunks) {
      if (!this.chunks.has(key)) this.chunks.set(key, buffer.bytes.slice());
    }
    return chunks.length;
  }

  async remove(keys: readonly string[]): Promise<number> {
    await this.#enter();
    return keys.filter((key) => this.chunks.delete(key)).length;
  }

  async clear(): Promise<number> {
    await this.#enter();
    const numChunks = this.chunks.size;
    this.chunks.clear();
    return numChunks;
  }

  async flush(): Promise<void> {
    await this.#enter();
  }

  stats(): TierStats {
    const zeros = { numHits: 0, numMisses: 0, numStored: 0, numEvicted: 0, numRefused: 0 };
    const numChunks = this.chunks.size;
    return { ...zeros, numChunks, usedBytes: 0, capacityBytes: 1, numDamaged: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async *#load(
    keys: readonly string[],
    signal: AbortSignal,
  ): AsyncGenerator<KvBuffer, void, undefined> {
    for (const key of keys) {
      await this.#enter();
      await nextTurn();
      const buffer = signal.aborted ? undefined : this.#copyOut(key);
      if (buffer === undefined) return;
      this.numLoaded++;
      yield buffer;
    }
  }

  async #enter(): Promise<void> {
    await this.gate;
    if (this.failure !== undefined) throw new TierError(this.name, this.failure, "Out of order");
  }

  #copyOut(key: string): KvBuffer | undefined {
    const bytes = this.chunks.get(key);
    const buffer = bytes && this.#pool.tryAllocate(bytes.byteLength);
    buffer?.bytes.set(bytes!);
    return buffer;
  }
}

/**
 * One sequence of a made-up model whose KV, as a real one's, depends on every token before it. Restoring
 * the wrong bytes, or at the wrong place, shows.
 */
export class FakeEngine implements EngineKv {
  readonly #pool: MemoryPool;
  /** KV of the positions that are in. */
  rows: Buffer[] = [];
  readonly extractCalls: EngineKvPart[][] = [];
  readonly restoreCalls: EngineKvPart[][] = [];
  /** Most restore calls that were open at once. */
  peakInFlight = 0;
  #numInFlight = 0;
  /** Parts that go in before the engine takes no more. */
  restoreLimit = Infinity;
  /** Parts that come out before extraction fails. */
  extractLimit = Infinity;
  failure: Error | undefined;
  /** Calls wait for this, as they do for a step. */
  gate: Promise<void> = Promise.resolve();

  constructor(pool: MemoryPool) {
    this.#pool = pool;
  }

  /** Prefill: computes what is missing of the tokens [0, to). */
  compute(tokens: Int32Array, to = tokens.length): void {
    this.rows.push(...rowsOf(tokens.subarray(0, to)).slice(this.rows.length));
  }

  trim(start: number): void {
    this.rows.length = Math.min(this.rows.length, start);
  }

  /** Whether what is in is what these tokens would have been computed to. */
  holds(tokens: Int32Array, numTokens: number): boolean {
    const expected = rowsOf(tokens.subarray(0, numTokens));
    return (
      this.rows.length >= numTokens && expected.every((row, index) => row.equals(this.rows[index]!))
    );
  }

  async extract(parts: readonly EngineKvPart[]): Promise<number[]> {
    this.extractCalls.push([...parts]);
    await this.gate;
    await nextTurn();
    if (this.failure) throw this.failure;
    return parts.map((part, index) => {
      if (index >= this.extractLimit || part.end > this.rows.length) return 0;
      const bytes = Buffer.concat([baseOf(part), ...this.rows.slice(part.start, part.end)]);
      this.#memory(part).set(bytes);
      return bytes.byteLength;
    });
  }

  async restore(parts: readonly EngineKvPart[]): Promise<number> {
    this.restoreCalls.push([...parts]);
    this.peakInFlight = Math.max(this.peakInFlight, ++this.#numInFlight);
    await this.gate;
    await nextTurn();
    this.#numInFlight--;
    if (this.failure) throw this.failure;
    let numIn = 0;
    for (const part of parts) {
      if (part.start > this.rows.length || this.restoreLimit === 0) break;
      const bytes = Buffer.from(this.#memory(part));
      if (part.crc32 !== undefined && crc32(bytes) !== part.crc32) break;
      if (!bytes.subarray(0, BASE_BYTES).equals(baseOf(part))) break;
      this.rows.length = part.start;
      for (let at = BASE_BYTES; at < bytes.length; at += ROW_BYTES) {
        this.rows.push(bytes.subarray(at, at + ROW_BYTES));
      }
      this.restoreLimit--;
      numIn++;
    }
    return numIn;
  }

  #memory(part: EngineKvPart): Uint8Array {
    const { memory } = this.#pool;
    return memory.view(Number(part.address - memory.address!), part.byteLength);
  }
}

export function baseOf(part: EngineKvPart): Buffer {
  return Buffer.from(`${part.kind} ${part.end - part.start}`.padEnd(BASE_BYTES));
}

const rowCache = new WeakMap<ArrayBufferLike, Buffer[]>();

/** KV of each position: a hash over all tokens up to it. */
export function rowsOf(tokens: Int32Array): Buffer[] {
  const rows = rowCache.get(tokens.buffer) ?? [];
  rowCache.set(tokens.buffer, rows);
  for (let position = rows.length; position < tokens.length; position++) {
    const hash = createHash("md5").update(rows[position - 1] ?? "");
    rows.push(hash.update(String(tokens[position])).digest());
  }
  return rows.slice(0, tokens.length);
}

/** Stores a prompt as an engine that has computed it would. */
export async function storePrompt(
  { cache, pool }: Pick<CacheFixture, "cache" | "pool">,
  tokens: Int32Array,
  scope: PromptScope = {},
): Promise<number> {
  const engine = new FakeEngine(pool);
  engine.compute(tokens);
  const reservation = cache.reserve(tokens, { ...scope, from: 0 });
  const parts = reservation.chunks.map(({ kind, start, end, address, payload }) => {
    return { kind, start, end, address: address!, byteLength: payload.byteLength };
  });
  return cache.store(reservation, await engine.extract(parts), "stored");
}
