import type { ChunkKey } from "../../core/index.ts";
import { LruPolicy } from "../../tiers/policies/index.ts";
import { FrequencySketch } from "./frequency-sketch.ts";

/**
 * Requests that are remembered, in multiples of the capacity: what TinyLFU's authors and Caffeine
 * use.
 */
const SAMPLE_FACTOR = 10;

/**
 * LRU behind TinyLFU's admission (Einziger et al., 2017): a chunk comes in only if it was asked for
 * more often lately than the one that would go.
 */
export class TinyLfuPolicy extends LruPolicy {
  override readonly name: string = "TinyLFU";
  readonly #sketch: FrequencySketch;

  constructor(capacity: number) {
    super();
    this.#sketch = new FrequencySketch(capacity, SAMPLE_FACTOR * capacity);
  }

  override touch(keys: readonly ChunkKey[]): void {
    for (const key of keys) this.#sketch.add(key);
    super.touch(keys);
  }

  admits(key: ChunkKey): boolean {
    const victim = this.victim(() => false);
    return victim === undefined || this.#sketch.count(key) > this.#sketch.count(victim);
  }
}
