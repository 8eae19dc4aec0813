import type { ChunkKey } from "../../core/index.ts";

/**
 * In which order a tier gives chunks up. Holds keys only; the tier owns the bytes. Every policy is
 * prefix-aware: the victim is always a chunk without a resident child, since a suffix without its
 * prefix is worth nothing. So whoever makes room for a chunk holds the one that it extends. Each
 * call is O(1) or O(log n) per key.
 */
export interface EvictionPolicy {
  /** As in `cache_policy`. */
  readonly name: string;
  readonly size: number;

  /** A chunk came in. `parent` need not be resident. */
  add(key: ChunkKey, parent: ChunkKey | undefined): void;
  /** A prompt used these chunks, in prefix order. Unknown keys are ignored. */
  touch(keys: readonly ChunkKey[]): void;
  /** A chunk went, by eviction or otherwise. Unknown keys are ignored. */
  remove(key: ChunkKey): void;
  /**
   * Whether a chunk that is to come in is worth the room that must be made for it. Asked by tiers
   * that can still refuse it, when they are full, before `victim` and `add`. Without it every chunk
   * is.
   */
  admits?(key: ChunkKey, parent: ChunkKey | undefined): boolean;
  /**
   * The chunk to give up next, still resident until `remove`; undefined when every candidate is
   * held.
   *
   * @param isHeld leased chunks, which must stay
   */
  victim(isHeld: (key: ChunkKey) => boolean): ChunkKey | undefined;
}
