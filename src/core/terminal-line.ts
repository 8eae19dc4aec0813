const CLEAR_LINE = "\r\u001b[K";

/** Where people may be watching. */
export interface TerminalOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** One line of a terminal that is replaced again and again. Silent where there is no terminal. */
export class TerminalLine implements Disposable {
  readonly #output: TerminalOutput;
  #isShown = false;

  constructor(output: TerminalOutput) {
    this.#output = output;
  }

  /** Whether anybody can see it. */
  get isWatched(): boolean {
    return this.#output.isTTY === true;
  }

  show(text: string): void {
    if (!this.isWatched) return;
    this.#isShown = true;
    this.#output.write(`${CLEAR_LINE}${text}`);
  }

  /** Takes the line away, so that something else may be printed. */
  clear(): void {
    if (this.#isShown) this.#output.write(CLEAR_LINE);
    this.#isShown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
