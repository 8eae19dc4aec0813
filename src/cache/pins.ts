import type { ChunkKey, Clock } from "../core/index.ts";
import type { Lease } from "../tiers/index.ts";

export interface PinsOptions {
  readonly clock: Clock;
  /** All pins together: what is pinned makes no room for anything else. */
  readonly maxSlabs: number;
}

interface Pinned {
  readonly lease: Lease;
  /** Of the pool, that it takes in RAM. A state part takes many. */
  readonly numSlabs: number;
}

/** Leases that outlive a request, each until it is released or its time is up. */
export class Pins {
  readonly #options: PinsOptions;
  readonly #pins = new Map<ChunkKey, Pinned & { readonly expiresAtMs: number }>();
  #numChunks = 0;
  #numSlabs = 0;

  constructor(options: PinsOptions) {
    this.#options = options;
  }

  get numChunks(): number {
    return this.#numChunks;
  }

  /**
   * Takes the lease over, in place of an earlier one of the same key.
   *
   * @returns whether there was room; if not, the lease is disposed
   */
  add(key: ChunkKey, { lease, numSlabs }: Pinned, durationMs: number): boolean {
    this.expire();
    this.remove(key);
    if (this.#numSlabs + numSlabs > this.#options.maxSlabs) {
      lease[Symbol.dispose]();
      return false;
    }
    const expiresAtMs = this.#options.clock.nowMs() + durationMs;
    this.#pins.set(key, { lease, numSlabs, expiresAtMs });
    this.#numChunks += lease.keys.length;
    this.#numSlabs += numSlabs;
    return true;
  }

  /** @returns whether it was pinned */
  remove(key: ChunkKey): boolean {
    const pin = this.#pins.get(key);
    if (pin === undefined) return false;
    this.#pins.delete(key);
    this.#numChunks -= pin.lease.keys.length;
    this.#numSlabs -= pin.numSlabs;
    pin.lease[Symbol.dispose]();
    return true;
  }

  /** Releases what is overdue. Called whenever the cache is used: nothing needs room before that. */
  expire(): void {
    const nowMs = this.#options.clock.nowMs();
    for (const [key, pin] of this.#pins) if (pin.expiresAtMs <= nowMs) this.remove(key);
  }

  clear(): void {
    for (const key of this.#pins.keys()) this.remove(key);
  }
}
