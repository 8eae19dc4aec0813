import type { ChunkKey } from "../../core/index.ts";
import type { EvictionPolicy } from "../../tiers/policies/index.ts";
import { GhostList } from "./ghost-list.ts";
import { Segments } from "./segments.ts";

const SMALL = 0;
const MAIN = 1;
const SMALL_SHARE = 0.1;
const MAX_USES = 3;
/** Uses while in the small queue that bring a chunk into the main one. */
const MIN_USES_FOR_MAIN = 2;

/**
 * S3-FIFO (Yang et al., 2023): new chunks pass a small queue, from which only those used meanwhile
 * go on to the main one, where a used chunk goes round again.
 */
export class S3FifoPolicy implements EvictionPolicy {
  readonly name = "S3-FIFO";
  readonly #smallCapacity: number;
  readonly #mainCapacity: number;
  readonly #segments = new Segments();
  readonly #ghosts = new GhostList();
  readonly #numUses: number[] = [];

  constructor(capacity: number) {
    this.#smallCapacity = Math.floor(capacity * SMALL_SHARE);
    this.#mainCapacity = capacity - this.#smallCapacity;
  }

  get size(): number {
    return this.#segments.tree.size;
  }

  add(key: ChunkKey, parent: ChunkKey | undefined): void {
    const slot = this.#segments.enter(key, parent, this.#ghosts.take(key) ? MAIN : SMALL);
    if (slot !== undefined) this.#numUses[slot] = 0;
  }

  touch(keys: readonly ChunkKey[]): void {
    for (const key of keys) {
      const slot = this.#segments.tree.slotOf(key);
      if (slot !== undefined) this.#numUses[slot] = Math.min(MAX_USES, this.#numUses[slot]! + 1);
    }
  }

  remove(key: ChunkKey): void {
    const slot = this.#segments.tree.slotOf(key);
    if (slot === undefined) return;
    if (this.#segments.segmentOf(slot) === SMALL) {
      this.#ghosts.add(key);
      this.#ghosts.shrinkTo(this.#mainCapacity);
    }
    this.#segments.leave(slot);
  }

  /** Moves used chunks out of the way; each move costs a chunk uses that it was given before. */
  victim(isHeld: (key: ChunkKey) => boolean): ChunkKey | undefined {
    for (;;) {
      const isSmallFull = this.#segments.sizes[SMALL] > this.#smallCapacity;
      const preferred = isSmallFull ? SMALL : MAIN;
      const slot =
        this.#segments.first(preferred, isHeld) ??
        this.#segments.first(isSmallFull ? MAIN : SMALL, isHeld);
      if (slot === undefined) return undefined;
      const numUses = this.#numUses[slot]!;
      const isInMain = this.#segments.segmentOf(slot) === MAIN;
      if (numUses < (isInMain ? 1 : MIN_USES_FOR_MAIN)) return this.#segments.tree.keyOf(slot);
      this.#numUses[slot] = isInMain ? numUses - 1 : 0;
      this.#segments.moveToEnd(slot, MAIN);
    }
  }
}
