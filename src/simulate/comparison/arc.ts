import type { ChunkKey } from "../../core/index.ts";
import type { EvictionPolicy } from "../../tiers/policies/index.ts";
import { GhostList } from "./ghost-list.ts";
import { Segments } from "./segments.ts";

const RECENT = 0;
const FREQUENT = 1;

/**
 * Adaptive replacement (Megiddo and Modha, 2003): chunks seen once and chunks seen again, each in
 * order of their last use, and a share between them that moves towards the one whose evictions are
 * missed.
 */
export class ArcPolicy implements EvictionPolicy {
  readonly name = "ARC";
  readonly #capacity: number;
  readonly #segments = new Segments();
  readonly #ghosts = [new GhostList(), new GhostList()] as const;
  /** How many chunks the recent segment should have. */
  #target = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#segments.tree.size;
  }

  add(key: ChunkKey, parent: ChunkKey | undefined): void {
    const [recent, frequent] = this.#ghosts;
    if (recent.take(key)) {
      const step = Math.max(1, frequent.size / (recent.size + 1));
      this.#target = Math.min(this.#capacity, this.#target + step);
      this.#segments.enter(key, parent, FREQUENT);
    } else if (frequent.take(key)) {
      const step = Math.max(1, recent.size / (frequent.size + 1));
      this.#target = Math.max(0, this.#target - step);
      this.#segments.enter(key, parent, FREQUENT);
    } else this.#segments.enter(key, parent, RECENT);
  }

  touch(keys: readonly ChunkKey[]): void {
    for (let index = keys.length - 1; index >= 0; index--) {
      const slot = this.#segments.tree.slotOf(keys[index]!);
      if (slot !== undefined) this.#segments.moveToEnd(slot, FREQUENT);
    }
  }

  remove(key: ChunkKey): void {
    const slot = this.#segments.tree.slotOf(key);
    if (slot === undefined) return;
    const segment = this.#segments.segmentOf(slot);
    this.#segments.leave(slot);
    this.#ghosts[segment].add(key);
    this.#ghosts[RECENT].shrinkTo(this.#capacity - this.#segments.sizes[RECENT]);
    const numOthers = this.size + this.#ghosts[RECENT].size;
    this.#ghosts[FREQUENT].shrinkTo(2 * this.#capacity - numOthers);
  }

  victim(isHeld: (key: ChunkKey) => boolean): ChunkKey | undefined {
    const segment = this.#segments.sizes[RECENT] > this.#target ? RECENT : FREQUENT;
    const slot =
      this.#segments.first(segment, isHeld) ??
      this.#segments.first(segment === RECENT ? FREQUENT : RECENT, isHeld);
    return slot === undefined ? undefined : this.#segments.tree.keyOf(slot);
  }
}
