import type { Clock } from "../core/index.ts";

/** Where a terminal shows what is going on. */
export interface ProgressOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

const REFRESH_MS = 250;
const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const CLEAR_LINE = "\r\u001b[K";

/** One line that is replaced: what is being waited for, and for how long. Silent without a terminal. */
export class Progress implements Disposable {
  readonly #output: ProgressOutput;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  #label = "";
  #startMs = 0;

  constructor(output: ProgressOutput, clock: Clock) {
    this.#output = output;
    this.#clock = clock;
  }

  /** From now on this is what is going on. */
  show(label: string): void {
    if (this.#output.isTTY !== true) return;
    this.#label = label;
    this.#startMs = this.#clock.nowMs();
    this.#timer ??= setInterval(() => this.#draw(), REFRESH_MS).unref();
    this.#draw();
  }

  /** Takes the line away, so that something else may be printed. */
  hide(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#output.write(CLEAR_LINE);
  }

  [Symbol.dispose](): void {
    this.hide();
  }

  #draw(): void {
    const elapsedMs = this.#clock.nowMs() - this.#startMs;
    const frame = FRAMES[Math.floor(elapsedMs / REFRESH_MS) % FRAMES.length];
    const seconds = elapsedMs < 1000 ? "" : ` ${Math.floor(elapsedMs / 1000)} s`;
    this.#output.write(`${CLEAR_LINE}${frame} ${this.#label}${seconds}`);
  }
}
