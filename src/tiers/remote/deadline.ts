import { TierError } from "../../core/index.ts";

/** A signal for one call to a remote: aborted when the time is up, or when nobody wants the answer. */
export class Deadline implements Disposable {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #timeout: TierError | undefined;

  constructor(address: string, timeoutMs: number) {
    this.#timer = setTimeout(() => {
      this.#timeout = new TierError(address, "timeout", `No answer within ${timeoutMs} ms`);
      this.#controller.abort(this.#timeout);
    }, timeoutMs).unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  cancel(): void {
    this.#controller.abort();
  }

  /** What the failure of the call means: nothing if it was cancelled. */
  explain(error: unknown): unknown {
    if (this.#timeout !== undefined) return this.#timeout;
    return this.signal.aborted ? undefined : error;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
