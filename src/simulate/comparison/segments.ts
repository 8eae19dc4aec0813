import type { ChunkKey } from "../../core/index.ts";
import { ChunkTree, SlotHeap } from "../../tiers/policies/index.ts";

/**
 * The resident chunks in two ordered segments, each with its leaves apart: what ARC and S3-FIFO are
 * made of.
 */
export class Segments {
  readonly tree: ChunkTree = new ChunkTree();
  readonly sizes: [number, number] = [0, 0];
  readonly #leaves: readonly [SlotHeap, SlotHeap];
  readonly #segments: (0 | 1)[] = [];
  readonly #places: number[] = [];
  #nextPlace = 0;

  constructor() {
    const comesBefore = (a: number, b: number): boolean => this.#places[a]! < this.#places[b]!;
    this.#leaves = [new SlotHeap(comesBefore), new SlotHeap(comesBefore)];
  }

  segmentOf(slot: number): 0 | 1 {
    return this.#segments[slot]!;
  }

  /**
   * @returns the slot of the chunk at the end of the segment; undefined if it is resident already
   */
  enter(key: ChunkKey, parent: ChunkKey | undefined, segment: 0 | 1): number | undefined {
    const slot = this.tree.enter(key, parent);
    if (slot === undefined) return undefined;
    const parentSlot = this.tree.parentOf(slot);
    if (parentSlot !== undefined) this.#leaves[this.segmentOf(parentSlot)].delete(parentSlot);
    this.#segments[slot] = segment;
    this.#places[slot] = this.#nextPlace++;
    this.sizes[segment]++;
    if (this.tree.isLeaf(slot)) this.#leaves[segment].insert(slot);
    return slot;
  }

  /** Moves a chunk to the end of a segment. */
  moveToEnd(slot: number, segment: 0 | 1): void {
    const from = this.segmentOf(slot);
    this.#leaves[from].delete(slot);
    this.sizes[from]--;
    this.sizes[segment]++;
    this.#segments[slot] = segment;
    this.#places[slot] = this.#nextPlace++;
    if (this.tree.isLeaf(slot)) this.#leaves[segment].insert(slot);
  }

  leave(slot: number): void {
    const segment = this.segmentOf(slot);
    this.#leaves[segment].delete(slot);
    this.sizes[segment]--;
    const newLeaf = this.tree.leave(slot);
    if (newLeaf !== undefined) this.#leaves[this.segmentOf(newLeaf)].insert(newLeaf);
  }

  /** The first leaf of a segment that may go. */
  first(segment: 0 | 1, isHeld: (key: ChunkKey) => boolean): number | undefined {
    return this.#leaves[segment].firstWhere((slot) => !isHeld(this.tree.keyOf(slot)));
  }
}
