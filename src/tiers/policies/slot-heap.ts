/**
 * A binary heap of slots that also knows where each slot is, so that any can be moved or taken out
 * in O(log n).
 */
export class SlotHeap {
  readonly #comesBefore: (a: number, b: number) => boolean;
  readonly #slots: number[] = [];
  /** By slot; -1 for those that are not in the heap. */
  readonly #positions: number[] = [];

  /**
   * @param comesBefore a strict order; `update` must be told of each slot whose place in it changed
   */
  constructor(comesBefore: (a: number, b: number) => boolean) {
    this.#comesBefore = comesBefore;
  }

  get size(): number {
    return this.#slots.length;
  }

  has(slot: number): boolean {
    return (this.#positions[slot] ?? -1) >= 0;
  }

  insert(slot: number): void {
    // Holes would turn the array into a dictionary.
    while (this.#positions.length <= slot) this.#positions.push(-1);
    this.#slots.push(slot);
    this.#up(this.#slots.length - 1, slot);
  }

  update(slot: number): void {
    this.#down(this.#up(this.#positions[slot]!, slot), slot);
  }

  /** Slots that are not in the heap are ignored. */
  delete(slot: number): void {
    const position = this.#positions[slot] ?? -1;
    if (position < 0) return;
    this.#positions[slot] = -1;
    const last = this.#slots.pop()!;
    if (last === slot) return;
    this.#down(this.#up(position, last), last);
  }

  first(): number | undefined {
    return this.#slots[0];
  }

  /**
   * The first slot in order that is accepted. Visits no slot behind it but children of refused
   * ones.
   */
  firstWhere(accepts: (slot: number) => boolean): number | undefined {
    return this.#first(0, undefined, accepts);
  }

  #first(
    position: number,
    best: number | undefined,
    accepts: (slot: number) => boolean,
  ): number | undefined {
    const slot = this.#slots[position];
    if (slot === undefined || (best !== undefined && this.#comesBefore(best, slot))) return best;
    if (accepts(slot)) return slot;
    const left = this.#first(2 * position + 1, best, accepts);
    return this.#first(2 * position + 2, left, accepts);
  }

  #up(from: number, slot: number): number {
    let position = from;
    while (position > 0) {
      const above = (position - 1) >> 1;
      const other = this.#slots[above]!;
      if (!this.#comesBefore(slot, other)) break;
      this.#put(position, other);
      position = above;
    }
    this.#put(position, slot);
    return position;
  }

  #down(from: number, slot: number): void {
    let position = from;
    for (;;) {
      let below = 2 * position + 1;
      if (below >= this.#slots.length) break;
      const right = below + 1;
      if (
        right < this.#slots.length &&
        this.#comesBefore(this.#slots[right]!, this.#slots[below]!)
      ) {
        below = right;
      }
      const other = this.#slots[below]!;
      if (!this.#comesBefore(other, slot)) break;
      this.#put(position, other);
      position = below;
    }
    this.#put(position, slot);
  }

  #put(position: number, slot: number): void {
    this.#slots[position] = slot;
    this.#positions[slot] = position;
  }
}
