import { type ChunkKey, publish } from "../core/index.ts";
import type { TierCounts } from "./tier.ts";

/** Counts what happens in a tier and tells whoever listens. */
export class TierCounters implements TierCounts {
  readonly #tier: string;
  numHits = 0;
  numMisses = 0;
  numStored = 0;
  numEvicted = 0;
  numRefused = 0;
  numDamaged = 0;

  constructor(tier: string) {
    this.#tier = tier;
  }

  counts(): TierCounts {
    const { numHits, numMisses, numStored, numEvicted, numRefused, numDamaged } = this;
    return { numHits, numMisses, numStored, numEvicted, numRefused, numDamaged };
  }

  /** A lease was asked for, and has so many of the chunks. */
  acquired(numHits: number, numAsked: number): void {
    this.numHits += numHits;
    this.numMisses += numAsked - numHits;
  }

  evicted(numChunks: number): void {
    if (numChunks === 0) return;
    this.numEvicted += numChunks;
    publish("warmkv:cache:evicted", { tier: this.#tier, numChunks });
  }

  refused(numChunks: number): void {
    if (numChunks === 0) return;
    this.numRefused += numChunks;
    publish("warmkv:cache:refused", { tier: this.#tier, numChunks });
  }

  damaged(key: ChunkKey, reason: string): void {
    this.numDamaged++;
    publish("warmkv:cache:damaged", { tier: this.#tier, key, reason });
  }
}
