/** The bytes under a pool. */
export interface PoolMemory extends Disposable {
  readonly byteLength: number;
  /** Page-aligned start for native code; undefined where there is none. */
  readonly address: bigint | undefined;
  /** [offset, offset + byteLength) without a copy. */
  view(offset: number, byteLength: number): Uint8Array;
  /**
   * Faults every page in and pins it, off the main thread. Resolves to the reason in one sentence
   * when the system refuses to pin (the memory is usable all the same), else to undefined.
   */
  pin(): Promise<string | undefined>;
}
