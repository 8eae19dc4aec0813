/** All texts kept together. */
const MAX_CHARACTERS = 4 * 1024 * 1024;

/**
 * Conversations as their tokens were spoken. A model does not always write a text in the tokens that a tokenizer
 * would split it into, and KV is stored by tokens: a next turn that tokenized the answer anew would leave its
 * KV unused from the first such place on. So what was said is taken over token by token.
 */
export class SpokenTurns {
  /** Prompt and answer as one text; least recently used first. */
  readonly #turns = new Map<string, Int32Array>();
  readonly #maxCharacters: number;
  #numCharacters = 0;

  constructor(maxCharacters: number = MAX_CHARACTERS) {
    this.#maxCharacters = maxCharacters;
  }

  remember(text: string, tokens: Int32Array): void {
    this.#forget(text);
    if (text.length > this.#maxCharacters) return;
    this.#turns.set(text, tokens);
    this.#numCharacters += text.length;
    for (const oldest of this.#turns.keys()) {
      if (this.#numCharacters <= this.#maxCharacters) return;
      this.#forget(oldest);
    }
  }

  /**
   * The longest conversation that this text goes on with, right behind an answer's end.
   *
   * @param endText what the model's template writes behind each turn: a token of its own
   */
  find(
    text: string,
    endText: string,
  ): { readonly numCharacters: number; readonly tokens: Int32Array } | undefined {
    let best: string | undefined;
    for (const turn of this.#turns.keys()) {
      if (turn.length <= (best?.length ?? 0) || !text.startsWith(turn)) continue;
      if (text.startsWith(endText, turn.length)) best = turn;
    }
    if (best === undefined) return undefined;
    const tokens = this.#turns.get(best)!;
    this.#turns.delete(best);
    this.#turns.set(best, tokens);
    return { numCharacters: best.length, tokens };
  }

  #forget(text: string): void {
    if (this.#turns.delete(text)) this.#numCharacters -= text.length;
  }
}
