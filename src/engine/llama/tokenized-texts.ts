/** All texts kept together. */
const MAX_CHARACTERS = 4 * 1024 * 1024;

/**
 * The token ids of texts that came lately. A prompt whose KV is loaded in milliseconds should not wait as
 * long again for its own tokenization: splitting 100 kB takes 20 ms.
 */
export class TokenizedTexts {
  /** Least recently used first. */
  readonly #tokens = new Map<string, Int32Array>();
  readonly #maxCharacters: number;
  #numCharacters = 0;

  constructor(maxCharacters: number = MAX_CHARACTERS) {
    this.#maxCharacters = maxCharacters;
  }

  /** @returns not to be written to */
  get(text: string): Int32Array | undefined {
    const tokens = this.#tokens.get(text);
    if (tokens === undefined) return undefined;
    this.#tokens.delete(text);
    this.#tokens.set(text, tokens);
    return tokens;
  }

  add(text: string, tokens: Int32Array): void {
    if (text.length > this.#maxCharacters || this.#tokens.has(text)) return;
    this.#tokens.set(text, tokens);
    this.#numCharacters += text.length;
    for (const oldest of this.#tokens.keys()) {
      if (this.#numCharacters <= this.#maxCharacters) return;
      this.#tokens.delete(oldest);
      this.#numCharacters -= oldest.length;
    }
  }
}
