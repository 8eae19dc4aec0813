import type { ChunkKey, ChunkSpan } from "../core/index.ts";
import { CacheMatch } from "./cache-match.ts";
import { type PromptChunker, endOf, keysOf, tokenPart } from "./prompt-chunker.ts";
import type { TierStack } from "./tier-stack.ts";

/** State parts that tiers are asked for at once, deepest first; each time twice as many. */
const FIRST_NUM_ASKED = 8;
/** Boundaries seen, of models without chunks: some prompts of a hundred thousand tokens each. */
const MAX_SEEN = 16_384;

/** Finds the longest prefix of a prompt that can be brought back, and holds its parts. */
export class PartFinder {
  readonly #chunker: PromptChunker;
  readonly #tiers: TierStack;
  /** Boundaries of the prompts that were looked for, where no chunks tell; oldest first. */
  readonly #seen = new Set<ChunkKey>();

  constructor(chunker: PromptChunker, tiers: TierStack) {
    this.#chunker = chunker;
    this.#tiers = tiers;
  }

  /**
   * @param spans of the whole prompt
   * @param accepts whether a boundary is of use, for models with state parts
   */
  async acquire(
    tokens: Int32Array,
    spans: readonly ChunkSpan[],
    accepts: (position: number) => boolean,
  ): Promise<CacheMatch> {
    if (!this.#chunker.hasStateParts) {
      const lease = await this.#tiers.acquire(keysOf(spans));
      const parts = spans.slice(0, lease.keys.length).map(tokenPart);
      return new CacheMatch(tokens, parts, lease, endOf(parts, parts.length));
    }
    const numKnown = await this.#numKnown(spans);
    const numKnownTokens = endOf(spans, numKnown);
    // Without chunks that tell, any boundary may have a state part.
    const numCandidates = this.#chunker.hasTokenParts ? numKnown : spans.length;
    for await (const numSpans of this.#boundaries(spans.slice(0, numCandidates), accepts)) {
      const parts = this.#chunker.partsTo(spans.slice(0, numSpans));
      const lease = await this.#tiers.acquire(keysOf(parts));
      if (lease.keys.length === parts.length) {
        const numTokens = endOf(spans, numSpans);
        return new CacheMatch(tokens, parts, lease, Math.max(numKnownTokens, numTokens));
      }
      lease[Symbol.dispose]();
    }
    return new CacheMatch(tokens, [], await this.#tiers.acquire([]), numKnownTokens);
  }

  /** How many leading spans each tier could bring back by itself. */
  async locate(spans: readonly ChunkSpan[]): Promise<Map<string, number>> {
    const numsWithChunks = await this.#tiers.lookupEach(keysOf(spans));
    if (!this.#chunker.hasStateParts) return numsWithChunks;
    const statesEach = await Promise.all(
      spans.map((span) => this.#tiers.lookupEach([this.#stateKey(span)])),
    );
    return new Map(
      [...numsWithChunks].map(([tier, numWithChunks]) => {
        const numCandidates = this.#chunker.hasTokenParts ? numWithChunks : spans.length;
        const hasState = (each: ReadonlyMap<string, number>): boolean => each.get(tier) === 1;
        return [tier, statesEach.slice(0, numCandidates).findLastIndex(hasState) + 1];
      }),
    );
  }

  /** How many leading spans have a state part at their end: each such number, greatest first. */
  async *#boundaries(
    spans: readonly ChunkSpan[],
    accepts: (position: number) => boolean,
  ): AsyncGenerator<number, void, undefined> {
    const candidates = spans
      .map((span, index) => ({ end: span.end, numSpans: index + 1, key: this.#stateKey(span) }))
      .filter(({ end }) => accepts(end))
      .reverse();
    let numAsked = FIRST_NUM_ASKED;
    for (let from = 0; from < candidates.length; numAsked *= 2) {
      const asked = candidates.slice(from, (from += numAsked));
      const counts = await Promise.all(asked.map(({ key }) => this.#tiers.lookup([key])));
      for (const [i, { numSpans }] of asked.entries()) if (counts[i] === 1) yield numSpans;
    }
  }

  #stateKey(span: ChunkSpan): ChunkKey {
    return this.#chunker.statePart(span).key;
  }

  /** How many leading spans are stored, or, where nothing of them is, have been looked for before. */
  async #numKnown(spans: readonly ChunkSpan[]): Promise<number> {
    const keys = keysOf(spans);
    if (this.#chunker.hasTokenParts) return this.#tiers.lookup(keys);
    const numKnown = keys.findLastIndex((key) => this.#seen.has(key)) + 1;
    for (const key of keys) this.#see(key);
    return numKnown;
  }

  #see(key: ChunkKey): void {
    this.#seen.delete(key);
    this.#seen.add(key);
    if (this.#seen.size <= MAX_SEEN) return;
    const [oldest] = this.#seen;
    this.#seen.delete(oldest!);
  }
}
