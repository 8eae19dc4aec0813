import type { ChunkKey } from "../../core/index.ts";
import { alignUp } from "../../core/index.ts";
import { type KvBuffer, PAGE_BYTES } from "../../memory/index.ts";
import type { Chunk } from "../tier.ts";

/** A chunk that was accepted and is not on disk yet. */
export interface PendingWrite {
  readonly key: ChunkKey;
  readonly parent: ChunkKey | undefined;
  readonly buffer: KvBuffer;
  readonly fileBytes: number;
  /** The chunks it came with and extends: to make room by dropping those would be for nothing. */
  readonly family: ReadonlySet<ChunkKey>;
  /** Set when the chunk is removed before it is written. */
  isCancelled: boolean;
}

/** What is on its way to the disk: bounded in bytes, one per key. */
export class PendingWrites {
  readonly #maxBytes: number;
  readonly #writes = new Map<ChunkKey, PendingWrite>();
  #totalBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get size(): number {
    return this.#writes.size;
  }
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** The write of a chunk, unless it was cancelled. */
  get(key: ChunkKey): PendingWrite | undefined {
    const write = this.#writes.get(key);
    return write?.isCancelled ? undefined : write;
  }

  /** Also true for a cancelled write whose file may still come into being for a moment. */
  isBusy(key: ChunkKey): boolean {
    return this.#writes.has(key);
  }

  values(): MapIterator<PendingWrite> {
    return this.#writes.values();
  }

  /** @returns undefined when too much is under way */
  accept(chunk: Chunk, family: ReadonlySet<ChunkKey>): PendingWrite | undefined {
    const fileBytes = fileBytesOf(chunk);
    if (this.#totalBytes + fileBytes > this.#maxBytes) return undefined;
    this.#totalBytes += fileBytes;
    const { key, parent } = chunk;
    const buffer = chunk.buffer.retain();
    const write = { key, parent, buffer, fileBytes, family, isCancelled: false };
    this.#writes.set(key, write);
    return write;
  }

  finish(write: PendingWrite): void {
    this.#writes.delete(write.key);
    this.#totalBytes -= write.fileBytes;
    write.buffer[Symbol.dispose]();
  }
}

/** A file is whole pages, as O_DIRECT wants them and as file systems count; the header knows the rest. */
export function fileBytesOf(chunk: Chunk): number {
  return alignUp(chunk.buffer.byteLength, PAGE_BYTES);
}
