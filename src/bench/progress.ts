import { type Clock, TerminalLine, type TerminalOutput } from "../core/index.ts";

const REFRESH_MS = 250;
const FRAMES = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/** One line that is replaced: what is being waited for, and for how long. Silent without a terminal. */
export class Progress implements Disposable {
  readonly #line: TerminalLine;
  readonly #clock: Clock;
  #timer: NodeJS.Timeout | undefined;
  #label = "";
  #startMs = 0;

  constructor(output: TerminalOutput, clock: Clock) {
    this.#line = new TerminalLine(output);
    this.#clock = clock;
  }

  /** From now on this is what is going on. */
  show(label: string): void {
    if (!this.#line.isWatched) return;
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
    this.#line.clear();
  }

  [Symbol.dispose](): void {
    this.hide();
  }

  #draw(): void {
    const elapsedMs = this.#clock.nowMs() - this.#startMs;
    const frame = FRAMES[Math.floor(elapsedMs / REFRESH_MS) % FRAMES.length];
    const seconds = elapsedMs < 1000 ? "" : ` ${Math.floor(elapsedMs / 1000)} s`;
    this.#line.show(`${frame} ${this.#label}${seconds}`);
  }
}
