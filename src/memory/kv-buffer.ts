import type { Allocation } from "./pool.ts";

/**
 * A handle on pool memory, counted: the CPU tier holds one, a disk write another, a reader another.
 * The memory goes home when the last handle is disposed. Once a buffer is shared nobody writes to it.
 */
export class KvBuffer implements Disposable {
  readonly #shared: Shared;
  #isDisposed = false;

  /** @param source what the pool lent; or, for a second handle, what the first one shares */
  constructor(source: Allocation | Shared, byteLength?: number) {
    this.#shared =
      "numHandles" in source
        ? source
        : { allocation: source, numHandles: 0, byteLength: byteLength!, isChecked: false };
    this.#shared.numHandles++;
  }

  /** Bytes in use, at most capacityBytes. */
  get byteLength(): number {
    return this.#shared.byteLength;
  }
  get capacityBytes(): number {
    return this.#shared.allocation.view.byteLength;
  }
  /** The number of its first slab: tells it from all others that are in use. */
  get slab(): number {
    return this.#shared.allocation.slab;
  }
  /** Address of the first byte for native code; undefined in a pool without native memory. */
  get address(): bigint | undefined {
    this.#assertAlive();
    return this.#shared.allocation.address;
  }
  /** The bytes in use, without a copy. Not to be kept beyond this handle's life. */
  get bytes(): Uint8Array {
    this.#assertAlive();
    return this.#shared.allocation.view.subarray(0, this.#shared.byteLength);
  }
  /** The whole allocation, without a copy: for writers that pad to a page. */
  get capacity(): Uint8Array {
    this.#assertAlive();
    return this.#shared.allocation.view;
  }
  get numHandles(): number {
    return this.#shared.numHandles;
  }

  /** Whether somebody in this process has made these bytes or has checked them since they came in. */
  get isChecked(): boolean {
    return this.#shared.isChecked;
  }
  markChecked(): void {
    this.#assertAlive();
    this.#shared.isChecked = true;
  }

  /** For the one writer, before the buffer is shared. */
  resize(byteLength: number): void {
    this.#assertAlive();
    if (byteLength > this.capacityBytes) {
      throw new RangeError(
        `Cannot resize to ${byteLength} bytes: capacity is ${this.capacityBytes}`,
      );
    }
    this.#shared.byteLength = byteLength;
  }

  /** A second handle on the same memory. */
  retain(): KvBuffer {
    this.#assertAlive();
    return new KvBuffer(this.#shared);
  }

  [Symbol.dispose](): void {
    this.#assertAlive();
    this.#isDisposed = true;
    if (--this.#shared.numHandles === 0) this.#shared.allocation.free();
  }

  #assertAlive(): void {
    if (this.#isDisposed) throw new Error("KvBuffer used after it was disposed");
  }
}

interface Shared {
  readonly allocation: Allocation;
  byteLength: number;
  numHandles: number;
  isChecked: boolean;
}
