/**
 * Which slabs are free, and where the runs of neighbouring ones are. A binary tree over the slabs: each node
 * knows the longest free run in its range and those at its two edges, so a run of any length is found in
 * O(log n). A change costs O(log n) and the length of the run.
 */
export class FreeRuns {
  /** Leaves of the tree: a power of two, of which those behind the last slab are never free. */
  readonly #numLeaves: number;
  /** By node; the root is 1, the children of n are 2n and 2n+1, the leaves come last. */
  readonly #longest: Int32Array;
  readonly #atStart: Int32Array;
  readonly #atEnd: Int32Array;

  /** All slabs are free. */
  constructor(numSlabs: number) {
    this.#numLeaves = 2 ** Math.ceil(Math.log2(Math.max(2, numSlabs)));
    this.#longest = new Int32Array(2 * this.#numLeaves);
    this.#atStart = new Int32Array(2 * this.#numLeaves);
    this.#atEnd = new Int32Array(2 * this.#numLeaves);
    this.#set(0, numSlabs, 1);
  }

  isFree(slab: number): boolean {
    return this.#longest[this.#numLeaves + slab] === 1;
  }

  take(start: number, length: number): void {
    this.#set(start, length, 0);
  }

  release(start: number, length: number): void {
    this.#set(start, length, 1);
  }

  /** Where the highest free run of this length begins. */
  findLast(length: number): number | undefined {
    if (this.#longest[1]! < length) return undefined;
    let node = 1;
    let start = 0;
    for (let width = this.#numLeaves; width > 1;) {
      const left = 2 * node;
      width /= 2;
      if (this.#longest[left + 1]! >= length) {
        node = left + 1;
        start += width;
      } else if (this.#atEnd[left]! + this.#atStart[left + 1]! >= length) {
        return start + width + this.#atStart[left + 1]! - length;
      } else {
        node = left;
      }
    }
    return start;
  }

  #set(start: number, length: number, value: 0 | 1): void {
    let first = this.#numLeaves + start;
    let last = first + length - 1;
    for (const runs of [this.#longest, this.#atStart, this.#atEnd]) {
      runs.fill(value, first, last + 1);
    }
    for (let half = 1; first > 1; half *= 2) {
      first >>= 1;
      last >>= 1;
      for (let node = first; node <= last; node++) this.#update(node, half);
    }
  }

  /** @param half the width of each child */
  #update(node: number, half: number): void {
    const left = 2 * node;
    const right = left + 1;
    const leftStart = this.#atStart[left]!;
    const rightEnd = this.#atEnd[right]!;
    this.#atStart[node] = leftStart === half ? half + this.#atStart[right]! : leftStart;
    this.#atEnd[node] = rightEnd === half ? half + this.#atEnd[left]! : rightEnd;
    this.#longest[node] = Math.max(
      this.#longest[left]!,
      this.#longest[right]!,
      this.#atEnd[left]! + this.#atStart[right]!,
    );
  }
}
