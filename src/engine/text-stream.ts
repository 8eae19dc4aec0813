/**
 * Turns the bytes of tokens into text that is safe to send: characters that are not whole yet and
 * whatever may become a stop string are held back.
 */
export class TextStream {
  readonly #decoder = new TextDecoder("utf-8");
  readonly #stops: readonly string[];
  #held = "";
  #isStopped = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** True once a stop string has come; what follows it is dropped. */
  get isStopped(): boolean {
    return this.#isStopped;
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
    if (this.#isStopped) return "";
    const pending = this.#held + text;
    const at = this.#firstStop(pending);
    if (at >= 0) {
      this.#isStopped = true;
      this.#held = "";
      return pending.slice(0, at);
    }
    const numHeld = isEnd ? 0 : this.#numThatMayStop(pending);
    this.#held = pending.slice(pending.length - numHeld);
    return pending.slice(0, pending.length - numHeld);
  }

  #firstStop(text: string): number {
    const places = this.#stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    return places.length === 0 ? -1 : Math.min(...places);
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
