import type {
  CacheEngine,
  CacheMatch,
  LoadedChunk,
  Reservation,
  ReservedChunk,
} from "../cache/index.ts";
import {
  type ChunkKey,
  type Logger,
  UsageError,
  isDoneWithin,
  messageOf,
  tokenBytes,
} from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import type { EngineKv, EngineKvPart, KvConnector, KvMatch, KvRequest } from "./connector.ts";
import type { PrefillClaims } from "./prefill-claims.ts";
import { prefillTurn } from "./prefill-turn.ts";
import { isSkipped, scopeOf } from "./request-settings.ts";
import { statePositions } from "./state-positions.ts";

/** vLLM's `kv_role`: a producer loads nothing, a consumer saves nothing. */
export type KvRole = "kv_both" | "kv_producer" | "kv_consumer";

export interface CacheConnectorOptions {
  /** Owned: closed with the connector. Its pool must have native memory. */
  readonly cache: CacheEngine;
  readonly logger: Logger;
  readonly role?: KvRole | undefined;
  /** Store generated tokens too. */
  readonly saveDecodeCache?: boolean | undefined;
  /** Store the last partial chunk of a prompt too. Default true. */
  readonly saveUnfullChunk?: boolean | undefined;
  /** Requests with a higher priority value are not stored. */
  readonly priorityLimit?: number | undefined;
  /** A hit of fewer tokens is not loaded. */
  readonly minRetrieveTokens?: number | undefined;
  /** The longest a load may wait for the tiers. What came in time is kept. */
  readonly blockingTimeoutMs: number;
  /** How long the engine would compute so many tokens: a load waits no longer for the tiers. */
  readonly estimatePrefillMs?: ((numTokens: number) => number) | undefined;
  /** Owned. Tells those who share a tier what is being computed; undefined: nobody is told, nobody waits. */
  readonly claims?: PrefillClaims | undefined;
}

/**
 * Serves one inference engine from a cache engine.
 *
 * Chunks are restored whole, so a load may leave more in the engine's sequence than it answers: the
 * last token of a prompt is always computed, but is stored in its chunk. The engine trims its
 * sequence to the answer.
 *
 *     tokens        0 ........ 256 ........ 512 .... 600    a prompt of 600 tokens, all stored
 *     match                                        599      numTokens
 *     after load    [ chunk 0  ][ chunk 1  ][ chunk 2 ]     the sequence ends at 600; the answer is 599
 *
 * Likewise the first chunk restored begins at the chunk boundary at or below `from`; the engine gives
 * up what it has behind that boundary before it restores.
 *
 * A model with state parts cannot be cut, so there the match ends at a boundary that has one, chunks are stored
 * up to the last prompt token but one, and a load brings all or nothing.
 *
 *     tokens        0 ........ 256 ........ 512 .... 599    the same prompt
 *     stored        [ chunk 0  ][ chunk 1  ][ tail  ]
 *                                       state     state     taken while the engine's sequence ended there
 */
export class CacheConnector implements KvConnector {
  readonly #cache: CacheEngine;
  readonly #options: CacheConnectorOptions;
  readonly #requests = new WeakMap<KvRequest, RequestState>();
  /** Those of them that hold a chunk. */
  readonly #holders = new Set<RequestState>();
  /** Chunks on their way out of the engine and into the tiers, and the tokens up to their end. Bounded by the pool. */
  readonly #storing = new Map<Promise<void>, Int32Array>();

  constructor(options: CacheConnectorOptions) {
    if (options.cache.pool.memory.address === undefined) {
      throw new UsageError("Cannot serve an engine from a pool without native memory");
    }
    this.#cache = options.cache;
    this.#options = options;
  }

  async lookup(request: KvRequest, numHeld: number, signal?: AbortSignal): Promise<KvMatch> {
    const { role, logger, minRetrieveTokens = 0 } = this.#options;
    await this.#related(request.tokens);
    const found = await this.#find(request, numHeld, signal);
    const state = this.#stateOf(request);
    const numStored = this.#cache.hasChunks ? found.numKnownTokens : found.numTokens;
    state.numStored = Math.max(state.numStored, numStored);
    const numTotal = request.tokens.length;
    const numHit = Math.max(0, Math.min(found.numTokens, numTotal - 1));
    const isOfUse = role !== "kv_producer" && numHit >= minRetrieveTokens;
    const numToLoad = isOfUse ? numHit : 0;
    logger.info(
      `Reqid: ${request.id}, Total tokens ${numTotal}, LMCache hit tokens: ${numHit}, ` +
        `need to load: ${Math.max(0, numToLoad - numHeld)}`,
    );
    state.stops = this.#stops(request, found, numToLoad);
    return new CacheConnectorMatch(request, found, numToLoad, state.stops);
  }

  async #find(
    request: KvRequest,
    numHeld: number,
    signal: AbortSignal | undefined,
  ): Promise<CacheMatch> {
    const accepts = request.canResumeAt?.bind(request);
    const look = (): Promise<CacheMatch> =>
      this.#cache.lookup(request.tokens, { ...scopeOf(request), accepts });
    const found = await look();
    const { claims } = this.#options;
    if (claims === undefined || !this.#saves(request)) return found;
    const { blockingTimeoutMs, estimatePrefillMs } = this.#options;
    const turn = prefillTurn({
      numTokens: request.tokens.length,
      spans: this.#cache.spans(request.tokens, scopeOf(request)),
      numKnownTokens: found.numKnownTokens,
      numReadyTokens: Math.max(found.numTokens, numHeld),
      chunkTokens: this.#cache.chunkTokens,
      blockingTimeoutMs,
      estimatePrefillMs,
      signal,
    });
    const waitedMs = await claims.enter(request, turn);
    if (waitedMs === undefined) return found;
    this.#stateOf(request).waitedMs = waitedMs;
    using _ = found;
    return await look();
  }

  #stops(request: KvRequest, found: CacheMatch, from: number): readonly number[] {
    if (!this.#cache.needsState || !this.#saves(request)) return [];
    const { saveDecodeCache = false, saveUnfullChunk = true } = this.#options;
    const { tokens, numPromptTokens, canResumeAt } = request;
    return statePositions({
      numTokens: saveDecodeCache ? tokens.length : Math.min(tokens.length, numPromptTokens),
      from,
      numKnownTokens: found.numKnownTokens,
      chunkTokens: this.#cache.chunkTokens,
      stateShare: this.#cache.stateShare,
      savesTail: saveUnfullChunk,
      canResumeAt: canResumeAt?.bind(request) ?? (() => true),
    });
  }

  /**
   * See above for where the sequence ends afterwards. The answer is below `from` only when the engine
   * was offered the chunk that holds `from` and did not take it.
   */
  async load(match: KvMatch, from: number, engine: EngineKv, signal: AbortSignal): Promise<number> {
    if (!(match instanceof CacheConnectorMatch)) {
      throw new TypeError("The match was not made by this kind of connector");
    }
    const { request, found, numTokens } = match;
    if (numTokens <= from) return from;
    // A state is of a whole prefix: it cannot be joined to what the engine has.
    if (this.#cache.needsState && from > 0) return from;
    const end = await this.#cache.retrieve(found, (chunks) => this.#restore(engine, chunks), {
      from,
      to: numTokens,
      budgetMs: this.#budgetMs(request, numTokens - from),
      signal,
      requestId: request.id,
    });
    // What did not come, for whatever reason, is worth storing anew when it has been computed.
    if (end < numTokens) {
      const state = this.#stateOf(request);
      state.numStored = this.#boundary(end);
      state.stops = match.stops = this.#stops(request, found, end);
    }
    return Math.min(end, numTokens);
  }

  async save(request: KvRequest, to: number, isFinal: boolean, engine: EngineKv): Promise<number> {
    const saving = this.#save(request, to, isFinal, engine);
    if (to >= request.numPromptTokens) this.#unclaim(request);
    return await saving;
  }

  async #save(request: KvRequest, to: number, isFinal: boolean, engine: EngineKv): Promise<number> {
    if (!this.#saves(request)) return 0;
    const state = this.#stateOf(request);
    const withState = this.#takesState(request, to);
    const end = withState ? to : this.#saveEnd(request, to, isFinal);
    if ((end <= state.numStored && !withState) || to < state.retryAt) return 0;

    const from = this.#boundary(Math.min(state.numStored, end));
    const tokens = request.tokens.subarray(0, end);
    const reservation = this.#cache.reserve(tokens, { ...scopeOf(request), from, withState });
    state.numStored = Math.max(state.numStored, from + reservation.numTokens);
    // Without room now there may be some by the next chunk.
    if (from + reservation.numTokens < end) state.retryAt = to + this.#cache.chunkTokens;
    if (reservation.chunks.length === 0) return 0;
    if (reservation.hasState) state.lastStateAt = to;
    const hasMoreToCome = end < request.numPromptTokens && this.#cache.tiers.hotTier !== undefined;
    const tip = hasMoreToCome ? reservation.retainLast() : undefined;

    const extracting = this.#extract(engine, reservation.chunks);
    const storing = extracting
      .then((lengths) => this.#cache.store(reservation, lengths, request.id))
      .then((numStored) => {
        this.#storing.delete(storing);
        if (to > request.numPromptTokens) this.#replaceTurnState(state, reservation);
        this.#hold(state, tip, from + reservation.numTokens);
        if (numStored === reservation.numTokens) return;
        // What follows would lie behind a gap.
        state.numStored = Math.min(state.numStored, from + numStored);
        state.retryAt = Infinity;
      });
    // The token behind a state is the prompt's last one, for which the same prompt is looked up again.
    this.#storing.set(storing, withState ? request.tokens.subarray(0, to + 1) : tokens);
    const gap = (await extracting).indexOf(0);
    return gap < 0 ? reservation.numTokens : reservation.numTokensOf(gap);
  }

  finish(request: KvRequest): void {
    this.#unclaim(request);
    const state = this.#requests.get(request);
    if (state !== undefined) this.#hold(state, undefined, Infinity);
  }

  async flush(): Promise<void> {
    await Promise.all(this.#storing.keys());
    await this.#cache.flush();
  }

  async close(): Promise<void> {
    await Promise.all(this.#storing.keys());
    for (const state of this.#holders) this.#hold(state, undefined, Infinity);
    await this.#options.claims?.close();
    await this.#cache[Symbol.asyncDispose]();
  }

  /** Once all that was taken out of the engine so far is with its tiers. */
  #unclaim(request: KvRequest): void {
    const { claims } = this.#options;
    if (!claims?.holds(request)) return;
    void Promise.all(this.#storing.keys()).then(() => claims.leave(request));
  }

  /**
   * Waits for what a request with the same beginning is just taking out of the engine: the same prompt again, right
   * behind its first answer, would miss its tail.
   */
  async #related(tokens: Int32Array): Promise<void> {
    const start = (of: Int32Array): Int32Array => of.subarray(0, this.#cache.chunkTokens);
    const related = [...this.#storing].filter(([, stored]) =>
      areEqual(start(stored), start(tokens)),
    );
    if (related.length === 0) return;
    const stored = Promise.all(related.map(([storing]) => storing));
    await isDoneWithin(this.#options.blockingTimeoutMs, stored);
  }

  #stateOf(request: KvRequest): RequestState {
    let state = this.#requests.get(request);
    if (state === undefined) {
      state = {
        numStored: 0,
        retryAt: 0,
        stops: [],
        lastStateAt: undefined,
        turnState: undefined,
        tip: undefined,
        tipEnd: 0,
        waitedMs: 0,
      };
      this.#requests.set(request, state);
    }
    return state;
  }

  /** Keeps a chunk in place of the one that is kept so far, unless that lies behind it. */
  #hold(state: RequestState, tip: KvBuffer | undefined, end: number): void {
    const given = end > state.tipEnd ? state.tip : tip;
    given?.[Symbol.dispose]();
    if (end <= state.tipEnd) return;
    state.tip = tip;
    state.tipEnd = end;
    if (tip === undefined) this.#holders.delete(state);
    else this.#holders.add(state);
  }

  #saves(request: KvRequest): boolean {
    const { role, priorityLimit = Infinity } = this.#options;
    return role !== "kv_consumer" && !isSkipped(request) && request.priority <= priorityLimit;
  }

  /** Whether to take the state now that the engine's sequence ends at `to`. */
  #takesState(request: KvRequest, to: number): boolean {
    if (!this.#cache.needsState) return false;
    const { stops, lastStateAt } = this.#stateOf(request);
    // The last step of an answer and its end are at the same place.
    if (to === lastStateAt) return false;
    const isInAnswer = to > request.numPromptTokens && this.#boundary(to) === to;
    return stops.includes(to) || (this.#options.saveDecodeCache === true && isInAnswer);
  }

  /** Of the states along an answer only the last one has a next turn. */
  #replaceTurnState(state: RequestState, { chunks }: Reservation): void {
    const last = chunks.at(-1);
    if (last?.kind !== "state") return;
    const before = state.turnState;
    state.turnState = last.key;
    if (before !== undefined) void this.#cache.tiers.remove([before]).catch(() => {});
  }

  /** The end of what is worth storing of the tokens [0, to), without a state. */
  #saveEnd(request: KvRequest, to: number, isFinal: boolean): number {
    const { saveDecodeCache = false, saveUnfullChunk = true } = this.#options;
    const limit = saveDecodeCache ? to : Math.min(to, request.numPromptTokens);
    const boundary = this.#boundary(limit);
    if (this.#cache.needsState) return this.#cache.hasChunks ? boundary : 0;
    const isWhole = isFinal || limit === request.numPromptTokens;
    // One token more than a boundary would never be loaded: the last one is computed in any case.
    return saveUnfullChunk && isWhole && limit - boundary > 1 ? limit : boundary;
  }

  #boundary(position: number): number {
    return position - (position % this.#cache.chunkTokens);
  }

  #budgetMs(request: KvRequest, numTokens: number): number {
    const { blockingTimeoutMs, estimatePrefillMs } = this.#options;
    const leftMs = blockingTimeoutMs - (this.#requests.get(request)?.waitedMs ?? 0);
    return Math.max(0, Math.min(leftMs, estimatePrefillMs?.(numTokens) ?? Infinity));
  }

  async #extract(engine: EngineKv, chunks: readonly ReservedChunk[]): Promise<readonly number[]> {
    const parts = chunks.map(({ kind, start, end, address, payload }): EngineKvPart => {
      return { kind, start, end, address: address!, byteLength: payload.byteLength };
    });
    try {
      return await engine.extract(parts);
    } catch (error) {
      this.#options.logger.error(`Cannot copy KV out of the engine: ${messageOf(error)}`);
      return parts.map(() => 0);
    }
  }

  async #restore(engine: EngineKv, chunks: readonly LoadedChunk[]): Promise<number> {
    const parts = chunks.map(({ kind, start, end, buffer, payloadOffset, payloadBytes, crc32 }) => {
      const address = buffer.address! + BigInt(payloadOffset);
      return { kind, start, end, address, byteLength: payloadBytes, crc32 };
    });
    try {
      return await engine.restore(parts);
    } catch (error) {
      this.#options.logger.error(`Cannot copy KV into the engine: ${messageOf(error)}`);
      return 0;
    }
  }
}

interface RequestState {
  /** Leading tokens that are stored or on their way. */
  numStored: number;
  /** Nothing is saved before the engine has come so far. */
  retryAt: number;
  /** Where to take a state part of the prompt. */
  stops: readonly number[];
  /** Where the last one was taken. */
  lastStateAt: number | undefined;
  /** The last one of the answer. */
  turnState: ChunkKey | undefined;
  /**
   * The last chunk stored of a prompt that is still being computed. While somebody holds it, neither
   * it nor its prefix is evicted, so that a prompt does not push out its own beginning.
   */
  tip: KvBuffer | undefined;
  /** Where that ends; infinite once the request has left. */
  tipEnd: number;
  /** For others who computed the same: of the time that a load may wait. */
  waitedMs: number;
}

class CacheConnectorMatch implements KvMatch {
  readonly request: KvRequest;
  readonly found: CacheMatch;
  readonly numTokens: number;
  stops: readonly number[];

  constructor(request: KvRequest, found: CacheMatch, numTokens: number, stops: readonly number[]) {
    this.request = request;
    this.found = found;
    this.numTokens = numTokens;
    this.stops = stops;
  }

  [Symbol.dispose](): void {
    this.found[Symbol.dispose]();
  }
}

function areEqual(a: Int32Array, b: Int32Array): boolean {
  return a.length === b.length && Buffer.compare(tokenBytes(a), tokenBytes(b)) === 0;
}
