import type { ChunkKey } from "../../core/index.ts";

/** Keys of chunks that went, the oldest first; never more than a number of them. */
export class GhostList {
  readonly #keys = new Set<ChunkKey>();
  /**
   * Stands at the oldest: all before it were taken out. A new iterator would step over each of
   * them, at each call.
   */
  readonly #oldest: Iterator<ChunkKey> = this.#keys.values();

  get size(): number {
    return this.#keys.size;
  }

  /** @param key not in the list */
  add(key: ChunkKey): void {
    this.#keys.add(key);
  }

  /** @returns whether it was there */
  take(key: ChunkKey): boolean {
    return this.#keys.delete(key);
  }

  shrinkTo(maxSize: number): void {
    while (this.#keys.size > maxSize) this.#keys.delete(this.#oldest.next().value!);
  }
}
