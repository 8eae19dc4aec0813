import type { ChunkKey, ChunkSpan } from "../core/index.ts";
import { CacheMatch } from "./cache-match.ts";
import {
  type PromptChunker,
  type PromptScope,
  endOf,
  keysOf,
  tokenPart,
} from "./prompt-chunker.ts";
import type { StackLease } from "./stack-lease.ts";
import { Tails } from "./tails.ts";
import type { TierStack } from "./tier-stack.ts";

/** State parts that tiers are asked for at once, deepest first; each time twice as many. */
const FIRST_NUM_ASKED = 8;
/** Boundaries seen, of models without chunks: some prompts of a hundred thousand tokens each. */
const MAX_SEEN = 16_384;

/** Ends of other prompts that are tried behind the last whole chunk. */
const MAX_TAILS_TRIED = 3;

/** Finds the longest prefix of a prompt that can be brought back, and holds its parts. */
export class PartFinder {
  readonly #chunker: PromptChunker;
  readonly #tiers: TierStack;
  /** Of models whose prefixes may end anywhere. */
  readonly tails: Tails = new Tails();
  /** Boundaries of the prompts that were looked for, where no chunks tell; oldest first. */
  readonly #seen = new Set<ChunkKey>();

  constructor(chunker: PromptChunker, tiers: TierStack) {
    this.#chunker = chunker;
    this.#tiers = tiers;
  }

  /**
   * @param spans of the whole prompt
   * @param scope whose it is
   * @param accepts whether a boundary is of use, for models with state parts
   */
  async acquire(
    tokens: Int32Array,
    spans: readonly ChunkSpan[],
    scope: PromptScope,
    accepts: (position: number) => boolean,
  ): Promise<CacheMatch> {
    if (!this.#chunker.hasStateParts) {
      const lease = await this.#tiers.acquire(keysOf(spans));
      const known = spans.slice(0, lease.keys.length);
      const isWhole = known.length === spans.length;
      const extended = isWhole ? undefined : await this.#withTail(tokens, scope, known, lease);
      if (extended === undefined) {
        return new CacheMatch(tokens, known.map(tokenPart), lease, endOf(known, known.length));
      }
      const { found, held } = extended;
      const numKnown = endOf(found, found.length);
      // The last token of a prompt is computed alone, which rounds otherwise than in the middle of one.
      return new CacheMatch(tokens, found.map(tokenPart), held, numKnown, numKnown - 1);
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

  /**
   * The partial chunk that some other prompt had behind the last whole one, if this prompt goes on as it did.
   *
   * @param lease of the whole chunks; given back when there is a longer one
   */
  async #withTail(
    tokens: Int32Array,
    scope: PromptScope,
    known: readonly ChunkSpan[],
    lease: StackLease,
  ): Promise<{ readonly found: readonly ChunkSpan[]; readonly held: StackLease } | undefined> {
    for (const tail of this.#tailsBehind(tokens, scope, known.at(-1))) {
      if ((await this.#tiers.lookup([tail.key])) === 0) continue;
      const found = [...known, tail];
      const held = await this.#tiers.acquire(keysOf(found));
      if (held.keys.length === found.length) {
        lease[Symbol.dispose]();
        return { found, held };
      }
      held[Symbol.dispose]();
    }
    return undefined;
  }

  /** Partial chunks that this prompt may share with others, the longest first. */
  #tailsBehind(tokens: Int32Array, scope: PromptScope, last: ChunkSpan | undefined): ChunkSpan[] {
    return this.tails
      .behind(last?.key)
      .filter((end) => end < tokens.length)
      .slice(0, MAX_TAILS_TRIED)
      .map((end) => this.#chunker.tailOf(tokens, scope, last, end));
  }

  /** How many leading tokens each tier could bring back by itself. */
  async locate(
    tokens: Int32Array,
    spans: readonly ChunkSpan[],
    scope: PromptScope,
  ): Promise<Map<string, number>> {
    const numsOfSpans = await this.#locateSpans(spans);
    const numsOfTokens = new Map<string, number>();
    for (const [tier, numSpans] of numsOfSpans) {
      const isOpen = numSpans < spans.length && !this.#chunker.hasStateParts;
      const tails = isOpen ? this.#tailsBehind(tokens, scope, spans[numSpans - 1]) : [];
      const tail = await this.#firstIn(tier, tails);
      numsOfTokens.set(tier, tail === undefined ? endOf(spans, numSpans) : tail.end - 1);
    }
    return numsOfTokens;
  }

  async #firstIn(tier: string, spans: readonly ChunkSpan[]): Promise<ChunkSpan | undefined> {
    for (const span of spans) {
      if ((await this.#tiers.lookupEach([span.key])).get(tier) === 1) return span;
    }
    return undefined;
  }

  /** How many leading spans each tier could bring back by itself. */
  async #locateSpans(spans: readonly ChunkSpan[]): Promise<Map<string, number>> {
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
