import { ApiError } from "../openai/index.ts";

/** Ends a generation that takes too long, wherever it is: in the queue, in the prompt or in the answer. */
export class Deadline {
  readonly #timeoutMs: number | undefined;
  readonly #controller: AbortController;
  #isOver = false;

  /** @param timeoutMs undefined: there is none */
  constructor(timeoutMs: number | undefined, controller: AbortController) {
    this.#timeoutMs = timeoutMs;
    this.#controller = controller;
  }

  /** Hands `items` on. @throws ApiError when the time is over before they are */
  async *guard<Item>(items: AsyncIterable<Item>): AsyncGenerator<Item, void, undefined> {
    const timeoutMs = this.#timeoutMs;
    if (timeoutMs === undefined) {
      yield* items;
      return;
    }
    const timer = setTimeout(() => {
      this.#isOver = true;
      this.#controller.abort();
    }, timeoutMs).unref();
    try {
      yield* items;
    } catch (error) {
      throw this.#isOver ? timedOut(timeoutMs, error) : error;
    } finally {
      clearTimeout(timer);
    }
    // An engine may end an aborted answer without a word.
    if (this.#isOver) throw timedOut(timeoutMs);
  }
}

function timedOut(timeoutMs: number, cause?: unknown): ApiError {
  return new ApiError(408, `The request took longer than its ${timeoutMs / 1000} s`, {
    type: "timeout_error",
    code: "request_timeout",
    // OpenAI's clients send a request again that timed out, to a server that was too slow already.
    headers: { "x-should-retry": "false" },
    cause,
  });
}
