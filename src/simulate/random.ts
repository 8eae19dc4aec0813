/** Pseudo-random numbers that are the same on every machine for the same seed (mulberry32). */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Uniform among 0 .. bound - 1. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.next());
  }

  /**
   * Log-normal: half of all values are below `median`; about one in six is above `median * spread`.
   */
  logNormal(median: number, spread: number): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return median * spread ** (radius * Math.cos(2 * Math.PI * this.next()));
  }

  /** Small numbers are drawn most: the k-th with a chance of about 1/k. */
  zipf(bound: number): number {
    return Math.min(bound - 1, Math.floor((bound + 1) ** this.next()) - 1);
  }
}
