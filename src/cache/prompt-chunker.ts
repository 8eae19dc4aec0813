import { type ChunkKey, ChunkKeyer, type ChunkSpan } from "../core/index.ts";

/** Whose prompt it is. Equal tokens under different scopes share nothing. */
export interface PromptScope {
  readonly salt?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

/** Cuts the prompts of one model into the chunks that are worth storing. */
export class PromptChunker {
  readonly #fingerprint: string;
  readonly #chunkTokens: number;

  constructor(fingerprint: string, chunkTokens: number) {
    this.#fingerprint = fingerprint;
    this.#chunkTokens = chunkTokens;
  }

  /**
   * The whole chunks and the partial one at the end, unless that is a single token: the last token of
   * a prompt is computed in any case.
   */
  spans(tokens: Int32Array, scope: PromptScope): ChunkSpan[] {
    const keyer = new ChunkKeyer({
      fingerprint: this.#fingerprint,
      salt: saltOf(scope),
      chunkTokens: this.#chunkTokens,
    });
    return keyer.spans(tokens, tokens.length % this.#chunkTokens > 1);
  }
}

export function keysOf(spans: readonly ChunkSpan[]): ChunkKey[] {
  return spans.map((span) => span.key);
}

/** Position behind the first `numChunks` chunks. */
export function endOf(spans: readonly ChunkSpan[], numChunks: number): number {
  return spans[numChunks - 1]?.end ?? 0;
}

/** One text for salt and tags, such that no salt can imitate a tag. */
function saltOf({ salt = "", tags = {} }: PromptScope): string {
  const entries = Object.entries(tags).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return salt === "" && entries.length === 0 ? "" : JSON.stringify([salt, ...entries]);
}
