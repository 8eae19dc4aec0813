export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  /** Tokens of the prompt that were reused and not computed. */
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** Counts what a request used while its answers come in. Each prompt counts once, whatever `n` is. */
export class UsageCounter {
  readonly #numPromptTokens: number;
  readonly #numChoices: number;
  /** Of the first answer to each prompt: the later ones reuse what the first one computed. */
  readonly #numCachedTokens: number[];
  #numGeneratedTokens = 0;

  constructor(promptLengths: readonly number[], numChoices: number) {
    this.#numPromptTokens = promptLengths.reduce((sum, length) => sum + length, 0);
    this.#numCachedTokens = promptLengths.map(() => 0);
    this.#numChoices = numChoices;
  }

  add(choiceIndex: number, delta: { numCachedTokens: number; tokens: readonly number[] }): void {
    this.#numGeneratedTokens += delta.tokens.length;
    if (choiceIndex % this.#numChoices !== 0) return;
    this.#numCachedTokens[choiceIndex / this.#numChoices] = delta.numCachedTokens;
  }

  get usage(): Usage {
    return {
      prompt_tokens: this.#numPromptTokens,
      completion_tokens: this.#numGeneratedTokens,
      total_tokens: this.#numPromptTokens + this.#numGeneratedTokens,
      prompt_tokens_details: {
        cached_tokens: this.#numCachedTokens.reduce((sum, count) => sum + count, 0),
      },
    };
  }
}
