const INITIAL_SIZE = 1024;

/** Whole numbers below 2^32, the largest at hand. */
export class MaxHeap {
  #numbers = new Uint32Array(INITIAL_SIZE);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(value: number): void {
    if (this.#size === this.#numbers.length) {
      const larger = new Uint32Array(2 * this.#size);
      larger.set(this.#numbers);
      this.#numbers = larger;
    }
    let place = this.#size++;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (this.#numbers[above]! >= value) break;
      this.#numbers[place] = this.#numbers[above]!;
      place = above;
    }
    this.#numbers[place] = value;
  }

  /** Takes the largest out of a heap that is not empty. */
  pop(): number {
    const largest = this.#numbers[0]!;
    const last = this.#numbers[--this.#size]!;
    if (this.#size > 0) this.#sink(0, last);
    return largest;
  }

  /** Drops all numbers below `bound`. */
  dropBelow(bound: number): void {
    let kept = 0;
    for (let index = 0; index < this.#size; index++) {
      if (this.#numbers[index]! >= bound) this.#numbers[kept++] = this.#numbers[index]!;
    }
    this.#size = kept;
    for (let place = (kept >> 1) - 1; place >= 0; place--) this.#sink(place, this.#numbers[place]!);
  }

  #sink(from: number, value: number): void {
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= this.#size) break;
      if (below + 1 < this.#size && this.#numbers[below + 1]! > this.#numbers[below]!) below++;
      if (this.#numbers[below]! <= value) break;
      this.#numbers[place] = this.#numbers[below]!;
      place = below;
    }
    this.#numbers[place] = value;
  }
}
