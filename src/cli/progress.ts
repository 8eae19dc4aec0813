import { type Clock, TerminalLine, type TerminalOutput, formatBytes } from "../core/index.ts";

/** What ends sooner needs no line. */
const QUIET_MS = 2000;
const REFRESH_MS = 200;

/** One line that says how far something has come. Silent without a terminal. */
export class ProgressLine implements Disposable {
  readonly #label: string;
  readonly #line: TerminalLine;
  readonly #clock: Clock;
  readonly #startMs: number;
  #shownMs = Number.NEGATIVE_INFINITY;

  constructor(label: string, output: TerminalOutput, clock: Clock) {
    this.#label = label;
    this.#line = new TerminalLine(output);
    this.#clock = clock;
    this.#startMs = clock.nowMs();
  }

  /** @param totalBytes undefined where nobody knows */
  update(doneBytes: number, totalBytes: number | undefined): void {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - this.#startMs;
    if (elapsedMs < QUIET_MS) return;
    if (nowMs - this.#shownMs < REFRESH_MS) return;
    this.#shownMs = nowMs;
    const rate = `${formatBytes(Math.round((doneBytes * 1000) / elapsedMs))}/s`;
    const total = totalBytes === undefined ? "" : ` of ${formatBytes(totalBytes)}`;
    const percent = totalBytes ? ` (${Math.floor((doneBytes * 100) / totalBytes)} %)` : "";
    this.#line.show(`${this.#label} ${formatBytes(doneBytes)}${total}${percent}, ${rate}`);
  }

  /** Takes the line away. */
  [Symbol.dispose](): void {
    this.#line.clear();
  }
}
