import { type Clock, type Logger, TierError, isDoneWithin, publish } from "../core/index.ts";
import type { Chunk, Tier, TierStats } from "../tiers/index.ts";

export interface TierStatus extends TierStats {
  /** False while the tier is away, and requests go on without it. */
  readonly isUp: boolean;
}

export interface TierGuardOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** For how long a tier that failed is left alone. */
  readonly backOffMs: number;
  /** The longest wait for an answer that brings no bytes. */
  readonly timeoutMs: number;
  /** Bytes on their way into the tier, beyond which chunks are dropped. */
  readonly maxStoringBytes: number;
}

/**
 * Stands between requests and one tier that may be broken: a tier that rejects, or does not answer
 * in time, has nothing, is reported, and is left alone for a while. Requests go on.
 */
export class TierGuard {
  readonly tier: Tier;
  readonly #options: TierGuardOptions;
  #retryAtMs = -Infinity;
  #storingBytes = 0;
  #numRefused = 0;

  constructor(tier: Tier, options: TierGuardOptions) {
    this.tier = tier;
    this.#options = options;
  }

  get isBackingOff(): boolean {
    return this.#options.clock.nowMs() < this.#retryAtMs;
  }

  /**
   * @param fallback the answer of a tier that has nothing
   * @param discard gives back what comes after the time was up
   */
  async ask<Answer>(
    fallback: Answer,
    call: (tier: Tier) => Promise<Answer>,
    discard: (late: Answer) => void = () => {},
  ): Promise<Answer> {
    if (this.isBackingOff) return fallback;
    const { timeoutMs } = this.#options;
    const answer = call(this.tier);
    try {
      if (await isDoneWithin(timeoutMs, answer)) return await answer;
      answer.then(discard, () => {});
      this.report(new TierError(this.tier.name, "timeout", `No answer within ${timeoutMs} ms`));
    } catch (error) {
      this.report(error);
    }
    return fallback;
  }

  /** As `ask`, for what a person started: however long it takes, and whatever happened before. */
  async insist<Answer>(fallback: Answer, call: (tier: Tier) => Promise<Answer>): Promise<Answer> {
    try {
      return await call(this.tier);
    } catch (error) {
      this.report(error);
      return fallback;
    }
  }

  /** Holds the buffers until the tier has answered, however long that takes. */
  async store(chunks: readonly Chunk[]): Promise<number> {
    if (this.isBackingOff) return 0;
    const numBytes = chunks.reduce((sum, chunk) => sum + chunk.buffer.capacityBytes, 0);
    if (this.#storingBytes > 0 && this.#storingBytes + numBytes > this.#options.maxStoringBytes) {
      this.#numRefused += chunks.length;
      publish("warmkv:cache:refused", { tier: this.tier.name, numChunks: chunks.length });
      return 0;
    }
    const held = chunks.map((chunk) => ({ ...chunk, buffer: chunk.buffer.retain() }));
    this.#storingBytes += numBytes;
    return this.ask(0, (tier) =>
      tier.store(held).finally(() => {
        this.#storingBytes -= numBytes;
        for (const chunk of held) chunk.buffer[Symbol.dispose]();
      }),
    );
  }

  /** With what the guard adds to it. */
  status(): TierStatus {
    return { ...this.stats(), isUp: this.tier.isUp !== false && !this.isBackingOff };
  }

  stats(): TierStats {
    const stats = this.tier.stats();
    return { ...stats, numRefused: stats.numRefused + this.#numRefused };
  }

  /** Takes note of a failure. Anything but a TierError is a bug, and is thrown on. */
  report(error: unknown): void {
    if (!(error instanceof TierError)) throw error;
    const { clock, logger, backOffMs } = this.#options;
    this.#retryAtMs = clock.nowMs() + backOffMs;
    publish("warmkv:tier:failed", { tier: this.tier.name, code: error.code });
    logger.warn(`${error.message}: going on without it for ${backOffMs / 1000} s`);
  }
}
