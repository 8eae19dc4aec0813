const INITIAL_SIZE = 1024;
const EMPTY = -1;
/** Entries per place, beyond which the table grows: open addressing slows down soon after. */
const MAX_LOAD = 0.7;

/**
 * A number for each block: a hash table in typed arrays. A Map holds 2^24 entries at most, fewer
 * than a million requests have blocks, and takes three times the memory.
 */
export class BlockTable {
  #blocks = new Float64Array(INITIAL_SIZE).fill(EMPTY);
  #values = new Uint32Array(INITIAL_SIZE);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @returns what was there before; undefined for a block that is new */
  exchange(block: number, value: number): number | undefined {
    if (this.#size >= MAX_LOAD * this.#blocks.length) this.#grow();
    const place = this.#placeOf(block);
    const isNew = this.#blocks[place] === EMPTY;
    const previous = this.#values[place]!;
    this.#blocks[place] = block;
    this.#values[place] = value;
    if (isNew) this.#size++;
    return isNew ? undefined : previous;
  }

  #placeOf(block: number): number {
    const mask = this.#blocks.length - 1;
    // The bits of a block beyond 32 count too.
    const high = Math.floor(block / 2 ** 32);
    let hash = Math.imul((block ^ Math.imul(high, 0x9e3779b1)) >>> 0, 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 15), 0xc2b2ae35);
    let place = (hash ^ (hash >>> 13)) & mask;
    while (this.#blocks[place] !== EMPTY && this.#blocks[place] !== block)
      place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const blocks = this.#blocks;
    const values = this.#values;
    this.#blocks = new Float64Array(2 * blocks.length).fill(EMPTY);
    this.#values = new Uint32Array(2 * blocks.length);
    for (let index = 0; index < blocks.length; index++) {
      if (blocks[index] === EMPTY) continue;
      const place = this.#placeOf(blocks[index]!);
      this.#blocks[place] = blocks[index]!;
      this.#values[place] = values[index]!;
    }
  }
}
