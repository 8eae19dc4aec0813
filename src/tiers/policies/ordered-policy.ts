import type { ChunkKey } from "../../core/index.ts";
import { ChunkTree } from "./chunk-tree.ts";
import type { EvictionPolicy } from "./policy.ts";
import { SlotHeap } from "./slot-heap.ts";

/**
 * A policy that is an order of the chunks: the victim is the first of those without resident
 * children. A subclass keeps what it orders by in arrays indexed by slot. Only leaves are in the
 * heap, so using a long prefix costs O(1) for each chunk but its last.
 *
 * The chunk that came in last goes last while its prompt is being stored: room is made for what
 * extends it.
 */
export abstract class OrderedPolicy implements EvictionPolicy {
  abstract readonly name: string;
  protected readonly tree: ChunkTree = new ChunkTree();
  readonly #leaves: SlotHeap = new SlotHeap((a, b) => this.comesBefore(a, b));
  /** The chunk that the prompt being stored ends in so far. */
  #newest: number | undefined;

  get size(): number {
    return this.tree.size;
  }

  /** Whether chunk `a` goes before chunk `b`. A strict order; see `reorder`. */
  protected abstract comesBefore(a: number, b: number): boolean;
  /** A chunk came in. Sets what it is ordered by. */
  protected abstract onAdd(slot: number): void;
  /** A chunk was used. Suffixes are told before their prefixes. */
  protected abstract onTouch(slot: number): void;
  /** A chunk is going. */
  protected onRemove?(slot: number): void;
  /** The prompt that ended in this chunk so far has nothing more to store. */
  protected onPromptEnd?(slot: number): void;

  add(key: ChunkKey, parent: ChunkKey | undefined): void {
    const slot = this.tree.enter(key, parent);
    if (slot === undefined) return;
    const parentSlot = this.tree.parentOf(slot);
    if (this.#newest !== parentSlot) this.#endPrompt();
    this.onAdd(slot);
    if (parentSlot !== undefined) this.#leaves.delete(parentSlot);
    if (this.tree.isLeaf(slot)) this.#leaves.insert(slot);
    this.#newest = slot;
  }

  touch(keys: readonly ChunkKey[]): void {
    this.#endPrompt();
    for (let index = keys.length - 1; index >= 0; index--) {
      const slot = this.tree.slotOf(keys[index]!);
      if (slot === undefined) continue;
      this.onTouch(slot);
      this.reorder(slot);
    }
  }

  remove(key: ChunkKey): void {
    const slot = this.tree.slotOf(key);
    if (slot === undefined) return;
    if (slot === this.#newest) this.#newest = undefined;
    this.onRemove?.(slot);
    this.#leaves.delete(slot);
    const newLeaf = this.tree.leave(slot);
    if (newLeaf !== undefined) this.#leaves.insert(newLeaf);
  }

  victim(isHeld: (key: ChunkKey) => boolean): ChunkKey | undefined {
    const slot = this.firstLeaf(isHeld);
    return slot === undefined ? undefined : this.tree.keyOf(slot);
  }

  protected firstLeaf(isHeld: (key: ChunkKey) => boolean): number | undefined {
    const isFree = (leaf: number): boolean => !isHeld(this.tree.keyOf(leaf));
    return (
      this.#leaves.firstWhere((leaf) => leaf !== this.#newest && isFree(leaf)) ??
      this.#leaves.firstWhere(isFree)
    );
  }

  /**
   * To be called for a chunk whose place in the order changed at another time than when it came or
   * was used.
   */
  protected reorder(slot: number): void {
    if (this.#leaves.has(slot)) this.#leaves.update(slot);
  }

  #endPrompt(): void {
    if (this.#newest !== undefined) this.onPromptEnd?.(this.#newest);
    this.#newest = undefined;
  }
}
