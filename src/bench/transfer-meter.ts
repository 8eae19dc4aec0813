import type { Clock } from "../core/index.ts";
import type { RemoteLookup, TransferSpeed } from "./remote-report.ts";
import { summarize } from "./statistics.ts";

const GIB = 2 ** 30;

/** Times many values that are moved at once, round by round. */
export class TransferMeter {
  readonly #clock: Clock;
  readonly #valueBytes: number;
  readonly #perSecond: number[] = [];
  readonly #latenciesMs: number[] = [];
  #cpuSeconds = 0;
  #movedGib = 0;
  #rssBytes = 0;

  constructor(clock: Clock, valueBytes: number) {
    this.#clock = clock;
    this.#valueBytes = valueBytes;
  }

  /** Moves `numValues`, one on each lane at a time. */
  async round(
    numLanes: number,
    numValues: number,
    move: (lane: number, index: number) => Promise<void>,
  ): Promise<void> {
    const cpuBefore = process.cpuUsage();
    const startMs = this.#clock.nowMs();
    let next = 0;
    const lanes = Array.from({ length: numLanes }, async (_, lane) => {
      while (next < numValues) {
        const index = next++;
        const beganMs = this.#clock.nowMs();
        await move(lane, index);
        this.#latenciesMs.push(this.#clock.nowMs() - beganMs);
      }
    });
    await Promise.all(lanes);
    const seconds = (this.#clock.nowMs() - startMs) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    const movedGib = (numValues * this.#valueBytes) / GIB;
    this.#perSecond.push(numValues / seconds);
    this.#cpuSeconds += (user + system) / 1e6;
    this.#movedGib += movedGib;
    this.#rssBytes = Math.max(this.#rssBytes, process.memoryUsage.rss());
  }

  speed(): TransferSpeed {
    const toGib = this.#valueBytes / GIB;
    return {
      gibPerSecond: summarize(this.#perSecond.map((rate) => rate * toGib)),
      latencyMs: summarize(this.#latenciesMs),
      cpuSecondsPerGib: this.#cpuSeconds / this.#movedGib,
      rssBytes: this.#rssBytes,
    };
  }

  rate(): Pick<RemoteLookup, "lookupsPerSecond" | "latencyMs"> {
    return {
      lookupsPerSecond: summarize(this.#perSecond),
      latencyMs: summarize(this.#latenciesMs),
    };
  }
}
