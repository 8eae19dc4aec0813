import { type ChunkKey, publish } from "../core/index.ts";

/** Counts what happens in a tier and tells whoever listens. */
export class TierCounters {
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
