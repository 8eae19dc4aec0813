import type { PoolMemory } from "./pool-memory.ts";

/** Ordinary memory, for machines without FFI: nothing is pinned and no native code can reach it. */
export class HeapMemory implements PoolMemory {
  readonly byteLength: number;
  readonly address: bigint | undefined = undefined;
  readonly #views = new Map<number, Uint8Array>();

  constructor(byteLength: number) {
    this.byteLength = byteLength;
  }

  /** Made on first use: an engine-sized ArrayBuffer at once is more than some platforms allow. */
  view(offset: number, byteLength: number): Uint8Array {
    let view = this.#views.get(offset);
    if (view === undefined || view.byteLength < byteLength) {
      view = new Uint8Array(byteLength);
      this.#views.set(offset, view);
    }
    return view.subarray(0, byteLength);
  }

  async pin(): Promise<string | undefined> {
    return "This platform has no way to lock memory: the pool works but may be swapped out";
  }

  [Symbol.dispose](): void {
    this.#views.clear();
  }
}
