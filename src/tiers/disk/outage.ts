import {
  type Clock,
  type Logger,
  type TierErrorCode,
  messageOf,
  publish,
} from "../../core/index.ts";

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;

export interface OutageOptions {
  readonly tier: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A disk that fails is left in peace for a while, longer each time, so that requests go on at full speed
 * without it. A tier has two: one for everything, one for writing, as a full or read-only disk can be read.
 */
export class Outage {
  readonly #options: OutageOptions;
  #retryAtMs = 0;
  #pauseMs = 0;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  /** Whether the disk is to be left alone now. */
  get isActive(): boolean {
    return this.#pauseMs > 0 && this.#options.clock.nowMs() < this.#retryAtMs;
  }
  /** Whether it failed and nothing has succeeded since. */
  get isSuspect(): boolean {
    return this.#pauseMs > 0;
  }

  report(error: unknown, code: TierErrorCode = "unavailable"): void {
    const { tier, clock, logger } = this.#options;
    // What was under way together fails together: that is one failure.
    if (this.isActive) return;
    this.#pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, 2 * this.#pauseMs), LONGEST_PAUSE_MS);
    this.#retryAtMs = clock.nowMs() + this.#pauseMs;
    logger.warn(`${tier}: ${messageOf(error)}. Trying again in ${this.#pauseMs / 1000} s`);
    publish("warmkv:tier:failed", { tier, code });
  }

  recovered(): void {
    if (this.#pauseMs === 0) return;
    this.#pauseMs = 0;
    this.#options.logger.info(`${this.#options.tier}: works again`);
  }
}
