import { randomUUID } from "node:crypto";
import type { TierStack } from "../cache/index.ts";
import { type ChunkKey, type Clock, type Logger, isDoneWithin, publish } from "../core/index.ts";
import type { KvRequest } from "./connector.ts";

/** Between two looks at what another engine has stored: little beside a prefill that is worth a claim. */
const POLL_MS = 100;
/** Longer prompts are claimed so far; what is behind is computed much later. */
const MAX_CLAIMED_CHUNKS = 512;
/** Renewals for each time to live: one may get lost. */
const RENEWALS = 3;
/** More often is no use: to miss it takes a stalled event loop. */
const MIN_RENEWAL_MS = 100;
/** Claims end by themselves. */
const CLOSE_TIMEOUT_MS = 1_000;

export interface PrefillClaimsOptions {
  /** With claims. */
  readonly tiers: Pick<TierStack, "claims" | "lookup">;
  /** After this time without a word from its owner a claim is over. */
  readonly ttlMs: number;
  readonly clock: Clock;
  /** [0, 1), for jitter. */
  readonly random: () => number;
  readonly logger: Logger;
}

export interface PrefillTurn {
  /** Of the whole prompt. */
  readonly keys: readonly ChunkKey[];
  /** How many leading ones are stored. */
  readonly numStored: number;
  /** Whether what is missing with so many stored is worth a wait, or, once one has waited, a longer one. */
  readonly isWorthIt: (numStored: number, hasWaited: boolean) => boolean;
  readonly maxWaitMs: number;
  readonly signal: AbortSignal | undefined;
}

interface HeldClaim {
  readonly keys: readonly ChunkKey[];
  readonly owner: string;
  readonly timer: NodeJS.Timeout;
  renewal: Promise<unknown>;
}

/**
 * Sees to it that of several who are about to compute the same chunks one does, and the others wait for what it
 * stores. The first missing chunk decides; who has it claims the rest of its prompt too, so that whoever comes later,
 * and finds a part of it stored, waits as well.
 *
 * Each request is an owner of its own: two of one engine wait for each other as those of two engines do.
 */
export class PrefillClaims {
  readonly #options: PrefillClaimsOptions;
  readonly #process = randomUUID();
  readonly #owners = new WeakMap<KvRequest, string>();
  readonly #held = new Map<KvRequest, HeldClaim>();
  /** Claims on their way out. Bounded by those that were held. */
  readonly #releasing = new Set<Promise<void>>();
  #numOwners = 0;
  #isClosed = false;
  #isAbandoned = false;

  constructor(options: PrefillClaimsOptions) {
    this.#options = options;
  }

  /**
   * Claims what a request is about to compute, or waits until nobody else does or the time is up.
   *
   * @returns for how long it has waited; undefined: not at all, what was known to be stored still holds
   */
  async enter(request: KvRequest, turn: PrefillTurn): Promise<number | undefined> {
    const { clock, logger } = this.#options;
    const startedMs = clock.nowMs();
    const { numStored, hasWaited } = await this.#take(request, turn);
    if (!hasWaited) return undefined;
    const durationMs = clock.nowMs() - startedMs;
    const numChunks = numStored - turn.numStored;
    logger.info(
      `Reqid: ${request.id}, waited ${Math.round(durationMs)} ms while another request ` +
        `computed the same prompt: ${numChunks} more chunks are stored`,
    );
    publish("warmkv:claim:waited", { durationMs, numChunks });
    return durationMs;
  }

  holds(request: KvRequest): boolean {
    return this.#held.has(request);
  }

  /** What the request had claimed is stored, or will not be. Others go on when the last put is over. */
  leave(request: KvRequest): void {
    const held = this.#held.get(request);
    if (held === undefined) return;
    this.#held.delete(request);
    const releasing = this.#release(held).finally(() => this.#releasing.delete(releasing));
    this.#releasing.add(releasing);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const request of this.#held.keys()) this.leave(request);
    await isDoneWithin(CLOSE_TIMEOUT_MS, Promise.all(this.#releasing));
    this.#isAbandoned = true;
  }

  async #take(
    request: KvRequest,
    turn: PrefillTurn,
  ): Promise<{ readonly numStored: number; readonly hasWaited: boolean }> {
    const { tiers, ttlMs, clock } = this.#options;
    const { keys, isWorthIt, maxWaitMs, signal } = turn;
    const claims = tiers.claims!;
    const owner = this.#ownerOf(request);
    const endMs = clock.nowMs() + maxWaitMs;
    let { numStored } = turn;
    let hasWaited = false;
    const isMissing = (): boolean => numStored < keys.length && isWorthIt(numStored, hasWaited);
    while (isMissing() && !this.#held.has(request)) {
      const first = keys.slice(numStored, numStored + 1);
      const numOwn = await claims.claim(first, owner, ttlMs);
      if (numOwn === undefined) break;
      if (signal?.aborted || this.#isClosed) {
        if (numOwn > 0) void claims.release(first, owner);
        break;
      }
      if (numOwn > 0) {
        const numFound = hasWaited ? await tiers.lookup(keys) : numStored;
        if (signal?.aborted || numFound > numStored) {
          void claims.release(first, owner);
          numStored = Math.max(numStored, numFound);
          continue;
        }
        this.#hold(request, keys.slice(numStored, numStored + MAX_CLAIMED_CHUNKS), owner);
        break;
      }
      const leftMs = endMs - clock.nowMs();
      if (leftMs <= 0) break;
      hasWaited = true;
      await this.#pause(leftMs, signal);
      if (signal?.aborted) break;
      numStored = Math.max(numStored, await tiers.lookup(keys));
    }
    return { numStored, hasWaited };
  }

  #hold(request: KvRequest, keys: readonly ChunkKey[], owner: string): void {
    const { tiers, ttlMs, logger } = this.#options;
    const renew = (): void => {
      held.renewal = held.renewal.then(() => tiers.claims!.claim(keys, owner, ttlMs));
    };
    const timer = setInterval(renew, Math.max(ttlMs / RENEWALS, MIN_RENEWAL_MS)).unref();
    const held: HeldClaim = { keys, owner, timer, renewal: Promise.resolve() };
    this.#held.set(request, held);
    logger.debug(`Reqid: ${request.id}, claims ${keys.length} chunks that it is going to compute`);
    publish("warmkv:claim:taken", { numChunks: keys.length });
    if (keys.length > 1) renew();
  }

  async #release(held: HeldClaim): Promise<void> {
    const { claims } = this.#options.tiers;
    try {
      await claims!.settled(held.keys);
    } finally {
      clearInterval(held.timer);
    }
    await held.renewal;
    // By then the tier may be closed.
    if (!this.#isAbandoned) await claims!.release(held.keys, held.owner);
  }

  #ownerOf(request: KvRequest): string {
    let owner = this.#owners.get(request);
    if (owner === undefined) {
      owner = `${this.#process}/${this.#numOwners++}`;
      this.#owners.set(request, owner);
    }
    return owner;
  }

  /** Others look at other times. Ends at the signal too. */
  #pause(atMostMs: number, signal: AbortSignal | undefined): Promise<void> {
    const pauseMs = Math.min(atMostMs, POLL_MS * (0.5 + this.#options.random()));
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, pauseMs);
      signal?.addEventListener("abort", done);
    });
  }
}
