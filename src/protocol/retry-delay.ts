import type { Clock } from "../core/index.ts";

const FIRST_DELAY_MS = 100;
/** LMCache tries again every 10 s. */
const LONGEST_DELAY_MS = 10_000;

/**
 * Keeps callers from knocking at a dead server's door: after each failure in a row twice as long as before, up to a
 * bound, with jitter so that many clients do not come back in the same moment.
 */
export class RetryDelay {
  readonly #clock: Clock;
  readonly #random: () => number;
  #delayMs = FIRST_DELAY_MS;
  #untilMs = Number.NEGATIVE_INFINITY;
  #failure: unknown;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  /** Throws the last failure while it is too early to try again. */
  throwIfRunning(): void {
    if (this.#clock.nowMs() < this.#untilMs) throw this.#failure;
  }

  start(failure: unknown): void {
    this.#failure = failure;
    this.#untilMs = this.#clock.nowMs() + this.#delayMs * (0.5 + this.#random() / 2);
    this.#delayMs = Math.min(2 * this.#delayMs, LONGEST_DELAY_MS);
  }

  reset(): void {
    this.#delayMs = FIRST_DELAY_MS;
    this.#untilMs = Number.NEGATIVE_INFINITY;
    this.#failure = undefined;
  }
}
