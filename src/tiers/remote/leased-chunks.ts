import type { ChunkKey } from "../../core/index.ts";
import type { KvBuffer, Reclaimer } from "../../memory/index.ts";

/**
 * Which chunks requests are interested in. What one of them fetches is kept for the others who have asked for it
 * too: they need not fetch it again.
 */
export class LeasedChunks implements Reclaimer {
  readonly #maxSharedBytes: number;
  readonly #numLeases = new Map<ChunkKey, number>();
  /** Oldest first. */
  readonly #shared = new Map<ChunkKey, KvBuffer>();
  #sharedBytes = 0;

  /** @param maxSharedBytes of the pool, that may be kept for those who have not come to fetch it yet */
  constructor(maxSharedBytes: number) {
    this.#maxSharedBytes = maxSharedBytes;
  }

  isLeased(key: ChunkKey): boolean {
    return this.#numLeases.has(key);
  }

  hold(keys: readonly ChunkKey[]): void {
    for (const key of keys) this.#numLeases.set(key, (this.#numLeases.get(key) ?? 0) + 1);
  }

  release(keys: readonly ChunkKey[]): void {
    for (const key of keys) {
      const numLeft = this.#numLeases.get(key)! - 1;
      if (numLeft > 0) {
        this.#numLeases.set(key, numLeft);
        continue;
      }
      this.#numLeases.delete(key);
      this.drop(key);
    }
  }

  /** Keeps a handle on a chunk if more than one lease is interested in it. */
  share(key: ChunkKey, buffer: KvBuffer): void {
    if ((this.#numLeases.get(key) ?? 0) < 2 || this.#shared.has(key)) return;
    this.#shared.set(key, buffer.retain());
    this.#sharedBytes += buffer.capacityBytes;
    while (this.#sharedBytes > this.#maxSharedBytes) this.#dropOldest();
  }

  /** Of the caller to dispose; undefined when it is not there. */
  get(key: ChunkKey): KvBuffer | undefined {
    return this.#shared.get(key)?.retain();
  }

  drop(key: ChunkKey): void {
    const buffer = this.#shared.get(key);
    if (buffer === undefined) return;
    this.#shared.delete(key);
    this.#sharedBytes -= buffer.capacityBytes;
    buffer[Symbol.dispose]();
  }

  clear(): void {
    while (this.#dropOldest());
  }

  /** What the pool needs is worth more than a fetch saved: the CPU tier cannot evict what is kept here. */
  reclaim(isUseful?: (slab: number) => boolean): boolean {
    return isUseful === undefined && this.#dropOldest();
  }
  canReclaimAt(): boolean {
    return false;
  }
  reclaimAt(): void {}

  /** @returns whether there was one */
  #dropOldest(): boolean {
    const oldest = this.#shared.keys().next();
    if (!oldest.done) this.drop(oldest.value);
    return !oldest.done;
  }
}
