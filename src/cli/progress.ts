import type { Clock } from "../core/index.ts";
import { formatBytes } from "../core/index.ts";

/** Where a terminal shows what is going on. */
export interface ProgressOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** What ends sooner needs no line. */
const QUIET_MS = 2000;
const REFRESH_MS = 200;
const CLEAR_LINE = "\r\u001b[K";

/** One line that says how far something has come. Silent without a terminal. */
export class ProgressLine implements Disposable {
  readonly #label: string;
  readonly #output: ProgressOutput;
  readonly #clock: Clock;
  readonly #startMs: number;
  #shownMs = Number.NEGATIVE_INFINITY;

  constructor(label: string, output: ProgressOutput, clock: Clock) {
    this.#label = label;
    this.#output = output;
    this.#clock = clock;
    this.#startMs = clock.nowMs();
  }

  /** @param totalBytes undefined where nobody knows */
  update(doneBytes: number, totalBytes: number | undefined): void {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - this.#startMs;
    if (this.#output.isTTY !== true || elapsedMs < QUIET_MS) return;
    if (nowMs - this.#shownMs < REFRESH_MS) return;
    this.#shownMs = nowMs;
    const rate = `${formatBytes(Math.round((doneBytes * 1000) / elapsedMs))}/s`;
    const total = totalBytes === undefined ? "" : ` of ${formatBytes(totalBytes)}`;
    const percent = totalBytes ? ` (${Math.floor((doneBytes * 100) / totalBytes)} %)` : "";
    this.#output.write(
      `${CLEAR_LINE}${this.#label} ${formatBytes(doneBytes)}${total}${percent}, ${rate}`,
    );
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    if (this.#shownMs !== Number.NEGATIVE_INFINITY) this.#output.write(CLEAR_LINE);
  }
}
