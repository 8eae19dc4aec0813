import type { ReservedValue, StoredValue, ValueStorage } from "./value-storage.ts";

/** Values in this process, the least recently used of them evicted. */
export class MemoryValueStorage implements ValueStorage {
  readonly #capacityBytes: number;
  /** Least recently used first. */
  readonly #values = new Map<string, Value>();
  #usedBytes = 0;

  /** @param capacityBytes of all values: those on their way in, and those removed but still being read, included */
  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }
  get numValues(): number {
    return this.#values.size;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  acquire(key: string): StoredValue | undefined {
    const value = this.#values.get(key);
    if (value === undefined) return undefined;
    this.#values.delete(key);
    this.#values.set(key, value);
    value.numReaders++;
    let isHeld = true;
    return {
      bytes: value.bytes,
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        value.numReaders--;
        this.#freeIfUnused(value);
      },
    };
  }

  reserve(key: string, byteLength: number): ReservedValue | undefined {
    if (!this.#makeRoom(byteLength)) return undefined;
    this.#usedBytes += byteLength;
    const value: Value = {
      bytes: Buffer.allocUnsafeSlow(byteLength),
      numReaders: 0,
      isListed: false,
    };
    let isOpen = true;
    return {
      bytes: value.bytes,
      commit: () => {
        if (!isOpen) return;
        isOpen = false;
        this.remove(key);
        value.isListed = true;
        this.#values.set(key, value);
      },
      [Symbol.dispose]: () => {
        if (!isOpen) return;
        isOpen = false;
        this.#usedBytes -= byteLength;
      },
    };
  }

  remove(key: string): boolean {
    const value = this.#values.get(key);
    if (value === undefined) return false;
    this.#values.delete(key);
    value.isListed = false;
    this.#freeIfUnused(value);
    return true;
  }

  #makeRoom(byteLength: number): boolean {
    if (byteLength > this.#capacityBytes) return false;
    for (const [key, { numReaders }] of this.#values) {
      if (this.#usedBytes + byteLength <= this.#capacityBytes) break;
      if (numReaders === 0) this.remove(key);
    }
    return this.#usedBytes + byteLength <= this.#capacityBytes;
  }

  #freeIfUnused(value: Value): void {
    if (!value.isListed && value.numReaders === 0) this.#usedBytes -= value.bytes.byteLength;
  }
}

interface Value {
  readonly bytes: Uint8Array;
  numReaders: number;
  isListed: boolean;
}
