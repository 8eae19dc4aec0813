/** Where a server keeps its values. A value is found only once it is whole, and does not change while it is read. */
export interface ValueStorage {
  has(key: string): boolean | Promise<boolean>;

  /** Keeps the value for one reader until disposed of. */
  acquire(key: string): StoredValue | undefined | Promise<StoredValue | undefined>;

  /** @returns memory for a value that is about to arrive; undefined: no room */
  reserve(
    key: string,
    byteLength: number,
  ): ReservedValue | undefined | Promise<ReservedValue | undefined>;

  /** @returns whether it was there */
  remove(key: string): boolean | Promise<boolean>;
}

export interface StoredValue extends Disposable {
  readonly bytes: Uint8Array;
}

/** Disposed of without a commit, it never was. */
export interface ReservedValue extends Disposable {
  readonly bytes: Uint8Array;
  commit(): void | Promise<void>;
}
