import { type Logger, TierError, publish } from "../../core/index.ts";
import { Deadline } from "./deadline.ts";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
const PROBE_TIMEOUT_MS = 2_000;

export interface RemoteHealthOptions {
  readonly tier: string;
  /** Of the store, for the log. */
  readonly address: string;
  /** Any call that a store which works answers. */
  readonly probe: (signal: AbortSignal) => Promise<unknown>;
  readonly logger: Logger;
  /** [0, 1): many engines that lost one server do not all come back in the same moment. */
  readonly random: () => number;
}

/**
 * Whether the remote store can be used. From a failure on no request waits for it; it is asked from time
 * to time, behind the requests, until it answers.
 */
export class RemoteHealth implements Disposable {
  readonly #options: RemoteHealthOptions;
  #timer: NodeJS.Timeout | undefined;
  #probe: Deadline | undefined;
  #isDown = false;
  #isClosed = false;
  /** Grows with each failure until a chunk has been moved: a store may answer and still be of no use. */
  #pauseMs = FIRST_PAUSE_MS;

  constructor(options: RemoteHealthOptions) {
    this.#options = options;
  }

  get isDown(): boolean {
    return this.#isDown;
  }

  /** Takes note of a failure. Anything but a TierError is a bug, and is thrown on. */
  report(error: unknown): void {
    if (!(error instanceof TierError)) throw error;
    const { tier, logger } = this.#options;
    publish("warmkv:tier:failed", { tier, code: error.code });
    // What was under way together fails together.
    if (this.#isDown || this.#isClosed) return;
    this.#isDown = true;
    logger.warn(`${tier} ${error.message}. Going on without it`);
    this.#scheduleProbe();
  }

  /** A chunk has been moved. */
  worked(): void {
    if (!this.#isDown) this.#pauseMs = FIRST_PAUSE_MS;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    this.#probe?.cancel();
  }

  #scheduleProbe(): void {
    if (this.#isClosed) return;
    const delayMs = this.#pauseMs * (0.5 + this.#options.random() / 2);
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS);
    this.#timer = setTimeout(() => void this.#tryAgain(), delayMs).unref();
  }

  async #tryAgain(): Promise<void> {
    const { tier, address, probe, logger } = this.#options;
    using deadline = new Deadline(address, PROBE_TIMEOUT_MS);
    this.#probe = deadline;
    try {
      await probe(deadline.signal);
      this.#isDown = false;
      logger.info(`${tier} ${address}: works again`);
    } catch (error) {
      if (!(error instanceof TierError) && !deadline.signal.aborted) throw error;
      this.#scheduleProbe();
    }
  }
}
