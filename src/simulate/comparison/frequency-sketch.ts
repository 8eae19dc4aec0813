const NUM_ROWS = 4;
const MAX_COUNT = 15;
/**
 * Counters a row for each item of the capacity: few enough collisions to take the counts for exact.
 */
const ROW_FACTOR = 8;

/**
 * How often each key was added lately, about: a count-min sketch that halves its counts now and
 * then.
 */
export class FrequencySketch {
  readonly #rows: readonly Uint8Array[];
  readonly #mask: number;
  readonly #sampleSize: number;
  #numAdded = 0;

  /** @param sampleSize additions after which all counts are halved */
  constructor(capacity: number, sampleSize: number) {
    const width = 2 ** Math.ceil(Math.log2(Math.max(16, ROW_FACTOR * capacity)));
    this.#rows = Array.from({ length: NUM_ROWS }, () => new Uint8Array(width));
    this.#mask = width - 1;
    this.#sampleSize = sampleSize;
  }

  add(key: string): void {
    const hash = hashOf(key);
    this.#rows.forEach((row, index) => {
      const place = this.#place(hash, index);
      if (row[place]! < MAX_COUNT) row[place]!++;
    });
    if (++this.#numAdded < this.#sampleSize) return;
    this.#numAdded = 0;
    for (const row of this.#rows) row.forEach((count, place) => (row[place] = count >> 1));
  }

  count(key: string): number {
    const hash = hashOf(key);
    let least = MAX_COUNT;
    this.#rows.forEach((row, index) => (least = Math.min(least, row[this.#place(hash, index)]!)));
    return least;
  }

  #place(hash: number, row: number): number {
    let bits = Math.imul(hash ^ Math.imul(row + 1, 0x9e3779b1), 0x85ebca6b);
    bits = Math.imul(bits ^ (bits >>> 15), 0xc2b2ae35);
    return (bits ^ (bits >>> 13)) & this.#mask;
  }
}

/** FNV-1a. */
function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193);
  }
  return hash;
}
