import { BlockTable } from "./block-table.ts";
import { MaxHeap } from "./max-heap.ts";
import { NumberList } from "./number-list.ts";
import { tokensOf } from "./prompt.ts";
import type { TraceRequest } from "./trace.ts";

export interface BoundHits {
  readonly numHitChunks: number;
  readonly numHitTokens: number;
}

/** A reference that never comes. */
const NEVER = 2 ** 32 - 1;
/** Entries of the heap per chunk of the capacity, beyond which those in the past are dropped. */
const MAX_STALE_FACTOR = 2;

/**
 * What no policy can exceed: a cache without end, and the best that a cache of some capacity could
 * do if it knew the future (Belady's MIN: it gives up what is used last, and does not take in what
 * is used later than all it has). A prefix is used no later than its suffixes, so MIN too gives up
 * suffixes first.
 *
 * Takes 4 bytes for each block of each request and about 24 for each different block.
 */
export class TraceBounds {
  readonly #blockTokens: number;
  /** For each block of each request in turn: where it comes next. */
  readonly #nextUses = new NumberList();
  readonly #numBlocks = new NumberList();
  readonly #numTokens = new NumberList();
  readonly #lastUses = new BlockTable();
  #numHitChunks = 0;
  #numHitTokens = 0;

  constructor(blockTokens: number) {
    this.#blockTokens = blockTokens;
  }

  /** Requests are to be given in the order in which they came. */
  observe(request: TraceRequest): void {
    let numHits = 0;
    request.blocks.forEach((block, index) => {
      const use = this.#nextUses.length;
      const lastUse = this.#lastUses.exchange(block, use);
      this.#nextUses.push(NEVER);
      if (lastUse === undefined) return;
      this.#nextUses.set(lastUse, use);
      if (numHits === index) numHits++;
    });
    this.#numBlocks.push(request.blocks.length);
    this.#numTokens.push(request.numInputTokens);
    this.#numHitChunks += numHits;
    this.#numHitTokens += tokensOf(request.numInputTokens, this.#blockTokens, 0, numHits);
  }

  infinite(): BoundHits {
    return { numHitChunks: this.#numHitChunks, numHitTokens: this.#numHitTokens };
  }

  belady(capacity: number): BoundHits {
    /** One bit for each block of each request: whether it will be resident then. */
    const isHit = new Uint8Array(Math.ceil(this.#nextUses.length / 8));
    const nextUsesOfResidents = new MaxHeap();
    let numResident = 0;
    let numHitChunks = 0;
    let numHitTokens = 0;
    let start = 0;
    for (let request = 0; request < this.#numBlocks.length; request++) {
      const end = start + this.#numBlocks.at(request);
      let leading = start;
      for (let use = start; use < end; use++) {
        if ((isHit[use >> 3]! & (1 << (use & 7))) === 0) continue;
        if (leading === use) leading++;
        numResident--;
      }
      for (let use = start; use < end; use++) {
        const nextUse = this.#nextUses.at(use);
        if (nextUse === NEVER) continue;
        nextUsesOfResidents.push(nextUse);
        isHit[nextUse >> 3]! |= 1 << (nextUse & 7);
        if (++numResident <= capacity) continue;
        const farthest = nextUsesOfResidents.pop();
        isHit[farthest >> 3]! &= ~(1 << (farthest & 7));
        numResident--;
      }
      if (nextUsesOfResidents.size > MAX_STALE_FACTOR * capacity)
        nextUsesOfResidents.dropBelow(end);
      numHitChunks += leading - start;
      const numTokens = this.#numTokens.at(request);
      numHitTokens += tokensOf(numTokens, this.#blockTokens, 0, leading - start);
      start = end;
    }
    return { numHitChunks, numHitTokens };
  }
}
