import type { ChunkKey } from "../../core/index.ts";
import { PAGE_BYTES } from "../../memory/index.ts";
import { MAX_PLACES, type PlaceId } from "./chunk-places.ts";

/** A chunk's file: where it is and what it takes. */
export interface ChunkFile {
  readonly place: PlaceId;
  /** Whole pages. */
  readonly fileBytes: number;
}

/**
 * The files that are there. Size and place share one small integer, which a Map holds without an
 * object: some 100 bytes per chunk, most of them the key's.
 */
export class DiskIndex {
  readonly #files = new Map<ChunkKey, number>();
  #totalBytes = 0;

  get size(): number {
    return this.#files.size;
  }
  get totalBytes(): number {
    return this.#totalBytes;
  }

  keys(): MapIterator<ChunkKey> {
    return this.#files.keys();
  }

  has(key: ChunkKey): boolean {
    return this.#files.has(key);
  }

  get(key: ChunkKey): ChunkFile | undefined {
    const packed = this.#files.get(key);
    return packed === undefined ? undefined : unpacked(packed);
  }

  /** A key that is there already keeps its file. */
  add(key: ChunkKey, file: ChunkFile): void {
    if (this.#files.has(key)) return;
    this.#files.set(key, (file.fileBytes / PAGE_BYTES) * MAX_PLACES + file.place);
    this.#totalBytes += file.fileBytes;
  }

  delete(key: ChunkKey): ChunkFile | undefined {
    const file = this.get(key);
    if (file === undefined) return undefined;
    this.#files.delete(key);
    this.#totalBytes -= file.fileBytes;
    return file;
  }
}

function unpacked(packed: number): ChunkFile {
  return {
    place: packed % MAX_PLACES,
    fileBytes: Math.floor(packed / MAX_PLACES) * PAGE_BYTES,
  };
}
