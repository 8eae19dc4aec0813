import type { PoolMemory } from "./pool-memory.ts";

/** Ordinary memory, for machines without FFI: nothing is pinned and no native code can reach it. */
export class HeapMemory implements PoolMemory {
  readonly byteLength: number;
  readonly address: bigint | undefined = undefined;
  #bytes: ArrayBuffer | undefined;

  constructor(byteLength: number) {
    this.byteLength = byteLength;
  }

  /** Made on first use, and by most systems page by page as they are written. */
  view(offset: number, byteLength: number): Uint8Array {
    this.#bytes ??= new ArrayBuffer(this.byteLength);
    return new Uint8Array(this.#bytes, offset, byteLength);
  }

  async pin(): Promise<string | undefined> {
    return "This platform has no way to lock memory: the pool works but may be swapped out";
  }

  [Symbol.dispose](): void {
    this.#bytes = undefined;
  }
}
