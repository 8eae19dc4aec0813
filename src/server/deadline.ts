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
    const timer = this.#start();
    try {
      yield* items;
      // An engine may end an aborted answer without a word.
      if (this.#isOver) throw this.#timedOut();
    } catch (error) {
      throw this.#isOver ? this.#timedOut(error) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** As guard, for what comes in one piece, and not at all once the controller aborts. */
  async limit<Value>(value: Promise<Value>): Promise<Value> {
    const timer = this.#start();
    try {
      return await value;
    } catch (error) {
      throw this.#isOver ? this.#timedOut(error) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  #start(): NodeJS.Timeout | undefined {
    if (this.#timeoutMs === undefined) return undefined;
    return setTimeout(() => {
      this.#isOver = true;
      this.#controller.abort();
    }, this.#timeoutMs).unref();
  }

  #timedOut(cause?: unknown): ApiError {
    if (cause instanceof ApiError) return cause;
    const seconds = this.#timeoutMs! / 1000;
    return new ApiError(408, `The request took longer than its ${seconds} s`, {
      type: "timeout_error",
      code: "request_timeout",
      // OpenAI's clients send a request again that timed out, to a server that was too slow already.
      headers: { "x-should-retry": "false" },
      cause,
    });
  }
}
