import type { SamplingParams } from "../sampling-params.ts";

/** Tokens that may not be picked: all but those allowed, and those that would end a banned sequence. */
export class TokenMask {
  readonly #allowed: ReadonlySet<number> | undefined;
  readonly #banned: readonly Int32Array[];
  readonly #numRemembered: number;
  /** The end of the answer so far. */
  #recent: number[] = [];

  /** @returns undefined when every token may be picked */
  static of(sampling: SamplingParams): TokenMask | undefined {
    const { allowedTokens, bannedSequences } = sampling;
    if (allowedTokens === undefined && bannedSequences.length === 0) return undefined;
    return new TokenMask(allowedTokens, bannedSequences);
  }

  private constructor(allowed: Int32Array | undefined, banned: readonly Int32Array[]) {
    this.#allowed = allowed && new Set(allowed);
    this.#banned = banned.filter((sequence) => sequence.length > 0);
    this.#numRemembered = Math.max(0, ...this.#banned.map((sequence) => sequence.length - 1));
  }

  /** @returns whether any token is left */
  apply(logits: Float32Array): boolean {
    if (this.#allowed !== undefined) {
      for (let token = 0; token < logits.length; token++) {
        if (!this.#allowed.has(token)) logits[token] = -Infinity;
      }
    }
    for (const sequence of this.#banned) {
      if (this.#endsWithBeginningOf(sequence)) logits[sequence.at(-1)!] = -Infinity;
    }
    return logits.some((logit) => logit > -Infinity);
  }

  accept(token: number): void {
    if (this.#numRemembered === 0) return;
    this.#recent.push(token);
    if (this.#recent.length > this.#numRemembered) this.#recent.shift();
  }

  #endsWithBeginningOf(sequence: Int32Array): boolean {
    const start = this.#recent.length - (sequence.length - 1);
    return start >= 0 && sequence.subarray(0, -1).every((id, i) => this.#recent[start + i] === id);
  }
}
