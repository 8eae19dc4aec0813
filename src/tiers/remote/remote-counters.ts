import { type ChunkKey, publish } from "../../core/index.ts";

/** Counts what happened and tells whoever listens. */
export class RemoteCounters {
  readonly #tier: string;
  numHits = 0;
  numMisses = 0;
  numStored = 0;
  numRefused = 0;
  numDamaged = 0;

  constructor(tier: string) {
    this.#tier = tier;
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
