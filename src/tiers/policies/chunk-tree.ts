import type { ChunkKey } from "../../core/index.ts";

const NONE = -1;

/**
 * The resident chunks and who extends whom. Each gets a slot, a small number that the orders of the
 * policies index by; slots are used again after their chunk went.
 *
 * A parent that is not resident has a slot too while a resident chunk names it, so that it knows
 * its children when it comes (back).
 */
export class ChunkTree {
  readonly #slots = new Map<ChunkKey, number>();
  readonly #keys: (ChunkKey | undefined)[] = [];
  readonly #parents: number[] = [];
  readonly #numChildren: number[] = [];
  readonly #isResident: boolean[] = [];
  readonly #free: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The slot of a resident chunk. */
  slotOf(key: ChunkKey): number | undefined {
    const slot = this.#slots.get(key);
    return slot !== undefined && this.#isResident[slot] ? slot : undefined;
  }

  keyOf(slot: number): ChunkKey {
    return this.#keys[slot]!;
  }

  /** The slot of the chunk before it, if that is resident. */
  parentOf(slot: number): number | undefined {
    const parent = this.#parents[slot]!;
    return parent !== NONE && this.#isResident[parent] ? parent : undefined;
  }

  /** Whether no resident chunk extends it. */
  isLeaf(slot: number): boolean {
    return this.#numChildren[slot] === 0;
  }

  /** @returns the new chunk's slot; undefined if it is resident already */
  enter(key: ChunkKey, parent: ChunkKey | undefined): number | undefined {
    const slot = this.#slotFor(key);
    if (this.#isResident[slot]) return undefined;
    this.#isResident[slot] = true;
    this.#size++;
    if (parent !== undefined) {
      const parentSlot = this.#slotFor(parent);
      this.#parents[slot] = parentSlot;
      this.#numChildren[parentSlot]!++;
    }
    return slot;
  }

  /** @returns the slot of its parent, if that is resident and has no other child */
  leave(slot: number): number | undefined {
    const parent = this.#parents[slot]!;
    this.#isResident[slot] = false;
    this.#parents[slot] = NONE;
    this.#size--;
    this.#freeIfUnused(slot);
    if (parent === NONE) return undefined;
    this.#numChildren[parent]!--;
    this.#freeIfUnused(parent);
    return this.#isResident[parent] && this.isLeaf(parent) ? parent : undefined;
  }

  #slotFor(key: ChunkKey): number {
    const known = this.#slots.get(key);
    if (known !== undefined) return known;
    const slot = this.#free.pop() ?? this.#keys.length;
    this.#slots.set(key, slot);
    this.#keys[slot] = key;
    this.#parents[slot] = NONE;
    this.#numChildren[slot] = 0;
    this.#isResident[slot] = false;
    return slot;
  }

  #freeIfUnused(slot: number): void {
    if (this.#isResident[slot] || !this.isLeaf(slot)) return;
    this.#slots.delete(this.#keys[slot]!);
    this.#keys[slot] = undefined;
    this.#free.push(slot);
  }
}
