import type { GenerationDelta } from "./engine.ts";

/**
 * From the engine's loop to one reader. The loop never waits: what a slow reader has not taken yet grows
 * together into one delta, so the queue is bounded by the answer's length.
 */
export class DeltaQueue {
  #pending: GenerationDelta | undefined;
  #end: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  push(delta: GenerationDelta): void {
    this.#pending = this.#pending === undefined ? delta : join(this.#pending, delta);
    this.#wake?.();
  }

  /** No more deltas; with an error, the reader gets it after those that came before. */
  close(error?: Error): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *read(): AsyncGenerator<GenerationDelta, void, undefined> {
    for (;;) {
      if (this.#pending !== undefined) {
        const delta = this.#pending;
        this.#pending = undefined;
        yield delta;
      } else if (this.#end !== undefined) {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}

function join(first: GenerationDelta, second: GenerationDelta): GenerationDelta {
  return {
    ...second,
    text: first.text + second.text,
    tokens: [...first.tokens, ...second.tokens],
    ...(second.logprobs === undefined
      ? {}
      : { logprobs: [...(first.logprobs ?? []), ...second.logprobs] }),
  };
}
