import type { EngineKvLayout } from "../connector/connector.ts";
import { type ChunkKey, ChunkKeyer, type ChunkSpan, stateKey } from "../core/index.ts";

/** Whose prompt it is. Equal tokens under different scopes share nothing. */
export interface PromptScope {
  readonly salt?: string | undefined;
  readonly tags?: Readonly<Record<string, string>> | undefined;
}

/** Something that is stored under a key of its own, and its place in the prompt. */
export interface PromptPart extends ChunkSpan {
  readonly kind: "tokens" | "state";
}

export type PartLayout = Pick<EngineKvLayout, "fingerprint" | "tokenPartBytes"> &
  Partial<Pick<EngineKvLayout, "statePartBytes">>;

/**
 * Cuts the prompts of one model into the parts that are worth storing.
 *
 *     dense       chunk chunk chunk tail       each prefix of chunks is of use
 *     with state  chunk chunk chunk tail       the chunks up to a boundary are of use if there is also
 *                          state      state    a state part of that boundary
 *     recurrent            state      state    there are no chunks: a boundary needs its state part only
 */
export class PromptChunker {
  readonly #fingerprint: string;
  readonly #chunkTokens: number;
  readonly hasTokenParts: boolean;
  readonly hasStateParts: boolean;

  constructor(layout: PartLayout, chunkTokens: number) {
    this.#fingerprint = layout.fingerprint;
    this.#chunkTokens = chunkTokens;
    this.hasTokenParts = layout.tokenPartBytes(chunkTokens) > 0;
    this.hasStateParts = (layout.statePartBytes?.(chunkTokens) ?? 0) > 0;
  }

  /**
   * What may be loaded of a prompt, whose last token is computed in any case. A dense model drops that token behind
   * the chunk that has it; what has a state cannot be cut, so its tail ends before it.
   */
  spans(tokens: Int32Array, scope: PromptScope): ChunkSpan[] {
    return this.spansOf(this.hasStateParts ? tokens.subarray(0, -1) : tokens, scope);
  }

  /**
   * The whole chunks of tokens that an engine has computed, and the partial one at the end; for a dense model not if
   * that is a single token, which would never be loaded.
   */
  spansOf(tokens: Int32Array, scope: PromptScope): ChunkSpan[] {
    const minTailTokens = this.hasStateParts ? 1 : 2;
    const hasTail = tokens.length % this.#chunkTokens >= minTailTokens;
    return this.#keyer(scope).spans(tokens, hasTail);
  }

  /** The partial chunk that ends at `end`, behind whole ones, of which `parent` is the last. */
  tailOf(
    tokens: Int32Array,
    scope: PromptScope,
    parent: ChunkSpan | undefined,
    end: number,
  ): ChunkSpan {
    return this.#keyer(scope).tail(tokens, parent?.end ?? 0, end, parent?.key);
  }

  #keyer(scope: PromptScope): ChunkKeyer {
    return new ChunkKeyer({
      fingerprint: this.#fingerprint,
      salt: saltOf(scope),
      chunkTokens: this.#chunkTokens,
    });
  }

  /** What must be loaded to go on behind the last of these spans. */
  partsTo(spans: readonly ChunkSpan[]): PromptPart[] {
    const last = spans.at(-1);
    const parts = this.hasTokenParts ? spans.map(tokenPart) : [];
    if (this.hasStateParts && last !== undefined) parts.push(this.statePart(last));
    return parts;
  }

  /** The state part of the boundary at the end of a span. It is of no use without its chunks: they are its prefix. */
  statePart({ key, start, end }: ChunkSpan): PromptPart {
    const parent = this.hasTokenParts ? key : undefined;
    return { kind: "state", key: stateKey(key), parent, start, end };
  }
}

export function tokenPart(span: ChunkSpan): PromptPart {
  return { ...span, kind: "tokens" };
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
