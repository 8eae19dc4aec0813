/**
 * Turns the bytes of tokens into text that is safe to send: characters that are not whole yet and
 * whatever may become a stop string are held back.
 */
export class TextStream {
  readonly #decoder = new TextDecoder("utf-8");
  readonly #stops: readonly string[];
  readonly #includesStop: boolean;
  #held = "";
  #stoppedBy: string | undefined;

  /** @param includesStop whether the stop string is a part of the text */
  constructor(stops: readonly string[], includesStop = false) {
    this.#stops = stops.filter((stop) => stop !== "");
    this.#includesStop = includesStop;
  }

  /** The stop string, once one has come; what follows it is dropped. */
  get stoppedBy(): string | undefined {
    return this.#stoppedBy;
  }

  /** @returns the text that may be sent now */
  push(bytes: Uint8Array): string {
    return this.#release(this.#decoder.decode(bytes, { stream: true }), false);
  }

  /** The end of the answer. @returns what was held back */
  end(): string {
    return this.#release(this.#decoder.decode(), true);
  }

  #release(text: string, isEnd: boolean): string {
    if (this.#stoppedBy !== undefined) return "";
    const pending = this.#held + text;
    const first = this.#firstStop(pending);
    if (first !== undefined) {
      this.#stoppedBy = first.stop;
      this.#held = "";
      return pending.slice(0, first.at + (this.#includesStop ? first.stop.length : 0));
    }
    const numHeld = isEnd ? 0 : this.#numThatMayStop(pending);
    this.#held = pending.slice(pending.length - numHeld);
    return pending.slice(0, pending.length - numHeld);
  }

  #firstStop(text: string): { readonly stop: string; readonly at: number } | undefined {
    let first: { readonly stop: string; readonly at: number } | undefined;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at >= 0 && (first === undefined || at < first.at)) first = { stop, at };
    }
    return first;
  }

  /** Length of the longest end of `text` that a stop string begins with. */
  #numThatMayStop(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
