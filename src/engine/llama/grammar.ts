import type { LlamaFunctions, Pointer } from "./bindings.ts";
import { TokenCandidates } from "./token-candidates.ts";

/**
 * Keeps an answer within a grammar. Asking a grammar about every token of a vocabulary takes tens of
 * milliseconds, so the model picks first, and only a pick that is refused is made again among those allowed.
 */
export class Grammar implements Disposable {
  readonly #functions: LlamaFunctions;
  readonly #sampler: Pointer;
  readonly #candidates: TokenCandidates;
  readonly #endToken: number;

  /**
   * @param text GBNF; the answer is its rule "root"
   * @param endToken picked when the grammar leaves nothing else
   * @throws Error for a text that llama.cpp cannot read
   */
  constructor(
    functions: LlamaFunctions,
    vocab: { readonly native: Pointer; readonly size: number; readonly endToken: number },
    text: string,
  ) {
    this.#functions = functions;
    const sampler = functions.llama_sampler_init_grammar(
      vocab.native,
      text,
      "root",
    ) as Pointer | null;
    if (sampler === null) throw new Error("Cannot read the grammar of the answer");
    this.#sampler = sampler;
    this.#endToken = vocab.endToken;
    this.#candidates = new TokenCandidates(functions, vocab.size);
  }

  /** Picks with the samplers of `chain` what the grammar allows. Neither remembers it yet */
  pick(chain: Pointer, logits: Float32Array): number {
    const candidates = this.#candidates;
    candidates.fill(logits);
    candidates.apply(chain);
    const token = candidates.selectedToken;
    if (this.allows(token)) return token;
    candidates.fill(logits);
    candidates.apply(this.#sampler);
    // Samplers do not expect that nothing is left.
    if (!candidates.isAnyPossible) return this.#endToken;
    candidates.apply(chain);
    return candidates.selectedToken;
  }

  allows(token: number): boolean {
    this.#candidates.set(token);
    this.#candidates.apply(this.#sampler);
    return this.#candidates.isAnyPossible;
  }

  /** Goes on behind a token. One that is not allowed would end the process, so it is left out. */
  accept(token: number): void {
    if (this.allows(token)) this.#functions.llama_sampler_accept(this.#sampler, token);
  }

  [Symbol.dispose](): void {
    this.#functions.llama_sampler_free(this.#sampler);
    this.#candidates[Symbol.dispose]();
  }
}
