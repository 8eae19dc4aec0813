import { type ChunkKey, type ChunkSpan, GiB, publish } from "../core/index.ts";
import type { KvBuffer, MemoryPool } from "../memory/index.ts";
import type {
  CacheEngineOptions,
  CacheStats,
  ClearOptions,
  LookupOptions,
  ReserveOptions,
  RetrieveOptions,
} from "./cache-engine-options.ts";
import type { CacheMatch, LoadedChunk } from "./cache-match.ts";
import { type ChunkDamage, checkHeader, verifyPayload } from "./chunk-check.ts";
import { type MoveOptions, moveChunks, moveStates } from "./mover.ts";
import { Pins } from "./pins.ts";
import { Prefetcher } from "./prefetcher.ts";
import { PartFinder } from "./part-finder.ts";
import {
  PromptChunker,
  type PromptPart,
  type PromptScope,
  endOf,
  keysOf,
  tokenPart,
} from "./prompt-chunker.ts";
import { Reservation, payloadOffset } from "./reservation.ts";
import { type ChunkConsumer, RestoreQueue } from "./restore-queue.ts";
import type { TierStack } from "./tier-stack.ts";
import { TimeBudget } from "./time-budget.ts";

/** Pins may take this share of the pool, wherever what is pinned lies. */
const MAX_PINNED_SHARE = 0.5;

/**
 * The cache of one model: token ids in, KV out. Cuts prompts into chunks, finds and keeps those in
 * tiers, and checks each chunk before it enters an engine. Knows no engine: any that can copy
 * its KV in and out may use it.
 */
export class CacheEngine implements AsyncDisposable {
  readonly chunkTokens: number;
  readonly tiers: TierStack;
  readonly pool: MemoryPool;
  readonly #options: CacheEngineOptions;
  readonly #chunker: PromptChunker;
  readonly #pins: Pins;
  readonly #prefetcher: Prefetcher;
  readonly #finder: PartFinder;
  /** Whether a prefix is of use only if there is a state part of its end. */
  readonly needsState: boolean;
  /** Whether there are chunks of tokens; otherwise a state part is all. */
  readonly hasChunks: boolean;
  /** Bytes of a state part for each byte of a chunk. */
  readonly stateShare: number;

  constructor(options: CacheEngineOptions) {
    this.chunkTokens = options.chunkTokens;
    this.tiers = options.tiers;
    this.pool = options.pool;
    this.#options = options;
    this.#chunker = new PromptChunker(options.layout, options.chunkTokens);
    this.needsState = this.#chunker.hasStateParts;
    this.hasChunks = this.#chunker.hasTokenParts;
    const { layout, chunkTokens } = options;
    this.stateShare =
      (layout.statePartBytes?.(chunkTokens) ?? 0) / layout.tokenPartBytes(chunkTokens);
    this.#finder = new PartFinder(this.#chunker, options.tiers);
    const maxSlabs = Math.ceil(options.pool.numSlabs * MAX_PINNED_SHARE);
    this.#pins = new Pins({ clock: options.clock, maxSlabs });
    this.#prefetcher = new Prefetcher(options.tiers, options.clock);
    options.logger.info(`Creating LMCacheEngine instance ${options.instanceId}`);
  }

  /** Which leading tokens are stored. Nothing of it is given up while the match lives. */
  async lookup(tokens: Int32Array, options: LookupOptions = {}): Promise<CacheMatch> {
    const { clock } = this.#options;
    const startedMs = clock.nowMs();
    this.#pins.expire();
    const match = await this.#acquire(tokens, options);
    publish("warmkv:cache:lookup", {
      numTokens: tokens.length,
      numHitTokens: match.numTokens,
      durationMs: clock.nowMs() - startedMs,
    });
    return match;
  }

  #acquire(tokens: Int32Array, options: LookupOptions): Promise<CacheMatch> {
    const { accepts = () => true } = options;
    const spans = this.#chunker.spans(tokens, options);
    return this.#finder.acquire(tokens, spans, options, accepts);
  }

  /** The chunks that are looked for of a prompt, in their order. */
  spans(tokens: Int32Array, scope: PromptScope = {}): readonly ChunkSpan[] {
    return this.#chunker.spans(tokens, scope);
  }

  /**
   * The chunks of a match from the one that holds token `from`, each checked. Ends early at the first
   * one that cannot be had; a damaged one is removed from all tiers.
   */
  async *load(
    match: CacheMatch,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<LoadedChunk, void, undefined> {
    for await (const chunk of this.#open(match, from, signal)) {
      if (!this.#isIntact(match, chunk)) {
        chunk.buffer[Symbol.dispose]();
        return;
      }
      yield chunk;
    }
  }

  /** As `load`, but payloads that have come in from outside are not compared with their checksums yet. */
  async *#open(
    match: CacheMatch,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<LoadedChunk, void, undefined> {
    const { fingerprint } = this.#options.layout;
    const { parts, tokens } = match;
    let index = parts.findIndex((part) => part.end > from);
    if (index < 0) return;
    for await (const buffer of match.lease.load(index, signal)) {
      const part = parts[index]!;
      const checked = checkHeader(buffer, { part, fingerprint, tokens });
      if (checked.damage !== undefined) {
        buffer[Symbol.dispose]();
        this.#reportDamage(match, part.key, checked.damage);
        return;
      }
      yield checked.chunk;
      index++;
    }
  }

  #isIntact(match: CacheMatch, chunk: LoadedChunk): boolean {
    if (verifyPayload(chunk)) return true;
    this.#reportDamage(match, chunk.key, "payload");
    return false;
  }

  #reportDamage(match: CacheMatch, key: ChunkKey, reason: ChunkDamage): void {
    const tier = match.lease.tierAt(match.parts.findIndex((part) => part.key === key));
    publish("warmkv:cache:damaged", { tier, key, reason });
    this.#options.logger.warn(`Removing chunk ${key} of ${tier}: wrong ${reason}`);
    // A tier that cannot has reported it, and is left alone.
    void this.tiers.remove([key]).catch(() => {});
  }

  /**
   * Brings the chunks of a match into an engine. Payloads are compared with their checksums in turns here and, by
   * the engine, right before they go in: two threads have done it in half the time.
   *
   * @returns the position behind the last token that is in, which may lie beyond `to`, since chunks
   *   are whole; `from` when nothing came. Less than `from` only when the engine was offered the chunk
   *   that holds `from` and did not take it: what it has of that chunk is then not to be trusted.
   *   With a state part it is all or nothing: 0, and what the engine has taken is not to be trusted.
   */
  async retrieve(
    match: CacheMatch,
    consume: ChunkConsumer,
    options: RetrieveOptions,
  ): Promise<number> {
    const { clock, logger } = this.#options;
    const { from, to, requestId, budgetMs = Infinity } = options;
    const startedMs = clock.nowMs();
    using budget = new TimeBudget(budgetMs, options.signal, clock);
    const queue = new RestoreQueue(consume, (chunk) => this.#isIntact(match, chunk));
    let isOwnTurn = false;
    try {
      for await (let chunk of this.#open(match, from, budget.signal)) {
        // A busy engine is not the tiers' fault.
        budget.pause();
        if (chunk.crc32 !== undefined) {
          if (isOwnTurn) {
            if (!this.#isIntact(match, chunk)) {
              chunk.buffer[Symbol.dispose]();
              break;
            }
            chunk = { ...chunk, crc32: undefined };
          }
          isOwnTurn = !isOwnTurn;
        }
        if (!(await queue.push(chunk))) break;
        budget.resume();
      }
    } finally {
      await queue.finish();
    }
    const end = this.#endOf(match, queue, from);
    const numTokens = Math.max(0, Math.min(end, to) - from);
    const durationMs = clock.nowMs() - startedMs;
    const numBytes = queue.numBytes;
    const gigabytes = numBytes / GiB;
    logger.info(
      `[req_id=${requestId}] Retrieved ${numTokens} out of ${to - from} tokens ` +
        `(from ${match.tokens.length} total tokens). size: ${gigabytes.toFixed(4)} GB, ` +
        `cost ${durationMs.toFixed(4)} ms, throughput: ${perSecond(gigabytes, durationMs)} GB/s`,
    );
    const numRequestedTokens = to - from;
    publish("warmkv:cache:retrieve", { numTokens, numRequestedTokens, numBytes, durationMs });
    return end;
  }

  /**
   * Takes pool memory for the chunks of `tokens` from a chunk boundary on, the partial one at the end
   * too: as many leading ones as there is room for.
   */
  reserve(tokens: Int32Array, options: ReserveOptions): Reservation {
    const { layout } = this.#options;
    const parts = this.#partsFrom(tokens, options);
    const buffers: KvBuffer[] = [];
    for (const part of parts) {
      const buffer = this.pool.tryAllocate(this.#partBytes(part));
      if (buffer === undefined) break;
      buffers.push(buffer);
    }
    const numChunks = parts.length - buffers.length;
    if (numChunks > 0) publish("warmkv:cache:refused", { tier: "MemoryPool", numChunks });
    return new Reservation(parts, buffers, tokens, options.from, layout.fingerprint);
  }

  #partsFrom(tokens: Int32Array, { from, withState, ...scope }: ReserveOptions): PromptPart[] {
    const spans = this.#chunker.spansOf(tokens, scope);
    const last = spans.at(-1);
    const parts = this.#chunker.hasTokenParts
      ? spans.filter((span) => span.start >= from).map(tokenPart)
      : [];
    if (withState && last !== undefined) parts.push(this.#chunker.statePart(last));
    return parts;
  }

  /** The most that a part takes, with its header. */
  #partBytes(part: PromptPart): number {
    const { layout } = this.#options;
    const { kind, start, end } = part;
    const payloadBytes =
      kind === "state" ? layout.statePartBytes!(end) : layout.tokenPartBytes(end - start);
    return payloadOffset(part) + payloadBytes;
  }

  /**
   * Seals what an engine has written and hands it to the tiers. Ends the reservation.
   *
   * @param lengths payload bytes of each chunk; 0, or missing, for one that was not written
   * @returns how many of the reserved tokens are stored now or will be
   */
  async store(
    reservation: Reservation,
    lengths: readonly number[],
    requestId: string,
  ): Promise<number> {
    const { clock, logger } = this.#options;
    const startedMs = clock.nowMs();
    using _ = reservation;
    const sealed = await reservation.seal(lengths);
    const numStored = sealed.length === 0 ? 0 : await this.tiers.store(sealed);
    const numTokens = reservation.numTokensOf(numStored);
    const stored = sealed.slice(0, numStored);
    const last = reservation.chunks[numStored - 1];
    if (last !== undefined && last.end % this.chunkTokens > 0) this.#finder.tails.remember(last);
    const numBytes = stored.reduce((sum, chunk) => sum + chunk.buffer.byteLength, 0);
    logger.info(
      `Storing KV cache for ${numTokens} out of ${reservation.tokens.length} tokens for request ${requestId}`,
    );
    publish("warmkv:cache:store", { numTokens, numBytes, durationMs: clock.nowMs() - startedMs });
    return numTokens;
  }

  #endOf(match: CacheMatch, queue: RestoreQueue, from: number): number {
    if (this.needsState) return queue.numIn === match.parts.length ? match.numTokens : 0;
    const isRefused = queue.end === undefined && queue.numOffered > 0;
    return isRefused ? Math.min(from, this.#chunkStart(from)) : (queue.end ?? from);
  }

  /** How many leading tokens each tier holds by itself. */
  async locate(tokens: Int32Array, scope: PromptScope = {}): Promise<Record<string, number>> {
    const spans = this.#chunker.spans(tokens, scope);
    return Object.fromEntries(await this.#finder.locate(tokens, spans, scope));
  }

  /**
   * Brings what lower tiers hold of a prompt into RAM, when its turn comes.
   *
   * @returns how many leading tokens a lookup then finds there
   */
  async prefetch(
    tokens: Int32Array,
    signal: AbortSignal,
    scope: PromptScope = {},
  ): Promise<number> {
    using match = await this.#acquire(tokens, scope);
    const numHot = await this.#prefetcher.bring(keysOf(match.parts), signal);
    // Not the last token of another prompt's tail: see CacheMatch.
    return Math.min(endOf(match.parts, numHot), match.numTokens);
  }

  /**
   * Keeps what is stored of a prompt where it is, until `unpin` or for a time.
   *
   * @returns how many leading tokens are pinned; 0 too when too much is pinned already
   */
  async pin(
    tokens: Int32Array,
    scope: PromptScope = {},
    durationMs: number = this.#options.pinTimeoutMs,
  ): Promise<number> {
    const spans = this.#chunker.spans(tokens, scope);
    const last = spans.at(-1);
    if (last === undefined) return 0;
    const { lease, numTokens, parts } = await this.#acquire(tokens, scope);
    if (numTokens === 0) return 0;
    const { slabBytes } = this.pool;
    const numSlabs = parts.reduce(
      (sum, part) => sum + Math.ceil(this.#partBytes(part) / slabBytes),
      0,
    );
    return this.#pins.add(last.key, { lease, numSlabs }, durationMs) ? numTokens : 0;
  }

  /** @returns whether this very prompt was pinned */
  unpin(tokens: Int32Array, scope: PromptScope = {}): boolean {
    const last = this.#chunker.spans(tokens, scope).at(-1);
    return last !== undefined && this.#pins.remove(last.key);
  }

  /** @returns the number of chunks dropped; those in use stay, unless their prompt is named */
  async clear(options: ClearOptions = {}): Promise<number> {
    const { tokens, location } = options;
    const tier = location === undefined ? this.tiers : this.tiers.tier(location);
    return tokens === undefined
      ? tier.clear()
      : tier.remove(keysOf(this.#allPartsOf(tokens, options)));
  }

  /** @returns how many leading tokens are in the target tier now */
  async move(
    tokens: Int32Array,
    signal: AbortSignal,
    options: MoveOptions & PromptScope,
  ): Promise<number> {
    const spans = this.#chunker.spans(tokens, options);
    const chunks = this.#chunker.hasTokenParts ? spans.map(tokenPart) : [];
    const numTokens = endOf(chunks, await moveChunks(chunks, this.tiers, options, signal));
    if (!this.needsState) return numTokens;
    const states = spans
      .filter(({ end }) => !this.hasChunks || end <= numTokens)
      .map((span) => this.#chunker.statePart(span));
    return moveStates(states, this.tiers, options, signal);
  }

  #allPartsOf(tokens: Int32Array, scope: PromptScope): PromptPart[] {
    const { hasTokenParts, hasStateParts } = this.#chunker;
    return this.#chunker
      .spans(tokens, scope)
      .flatMap((span) => [
        ...(hasTokenParts ? [tokenPart(span)] : []),
        ...(hasStateParts ? [this.#chunker.statePart(span)] : []),
      ]);
  }

  stats(): CacheStats {
    return {
      tiers: Object.fromEntries(this.tiers.statusEach()),
      poolUsedBytes: this.pool.usedBytes,
      poolCapacityBytes: this.pool.capacityBytes,
      numPinnedChunks: this.#pins.numChunks,
    };
  }

  /** Resolves when the tiers have written what they accepted, or gave it up. */
  flush(): Promise<void> {
    return this.tiers.flush();
  }

  /** Tiers write what they accepted, or give it up, before they are closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#prefetcher[Symbol.dispose]();
    this.#pins.clear();
    await this.tiers[Symbol.asyncDispose]();
    // Unmapping memory that somebody still reads would end the process.
    if (this.pool.usedBytes === 0) this.pool[Symbol.dispose]();
    else this.#options.logger.warn("Leaving the pool mapped: some of its chunks are still in use");
  }

  #chunkStart(position: number): number {
    return Math.floor(position / this.chunkTokens) * this.chunkTokens;
  }
}

function perSecond(amount: number, durationMs: number): string {
  return durationMs > 0 ? ((amount / durationMs) * 1000).toFixed(4) : "0.0000";
}
