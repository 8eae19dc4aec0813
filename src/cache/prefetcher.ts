import type { ChunkKey, Clock } from "../core/index.ts";
import type { TierStack } from "./tier-stack.ts";
import { TimeBudget } from "./time-budget.ts";

/** Prompts that wait for their turn; more are turned away. */
const MAX_WAITING = 64;
/** The longest a prompt may take, so that a slow tier does not hold up the others for ever. */
const TIMEOUT_MS = 60_000;

/** Brings chunks of lower tiers into the hot tier, one prompt after the other, before they are asked for. */
export class Prefetcher implements Disposable {
  readonly #tiers: TierStack;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  #numWaiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(tiers: TierStack, clock: Clock) {
    this.#tiers = tiers;
    this.#clock = clock;
  }

  /** @returns how many leading keys the hot tier then holds; 0 when there is none or too many wait */
  async bring(keys: readonly ChunkKey[], signal: AbortSignal): Promise<number> {
    if (this.#tiers.hotTier === undefined || this.#numWaiting >= MAX_WAITING) return 0;
    this.#numWaiting++;
    const turn = this.#last.then(() => this.#bringNow(keys, signal));
    this.#last = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      this.#numWaiting--;
    }
  }

  [Symbol.dispose](): void {
    this.#closing.abort();
  }

  async #bringNow(keys: readonly ChunkKey[], signal: AbortSignal): Promise<number> {
    const hotTier = this.#tiers.hotTier!;
    const stop = AbortSignal.any([signal, this.#closing.signal]);
    if (stop.aborted) return 0;
    using budget = new TimeBudget(TIMEOUT_MS, stop, this.#clock);
    using lease = await this.#tiers.acquire(keys);
    const numHot = await hotTier.lookup(keys);
    // Loading is what promotes; the bytes themselves are not needed here.
    for await (using _ of lease.load(numHot, budget.signal, "prefetch"));
    return hotTier.lookup(keys);
  }
}
