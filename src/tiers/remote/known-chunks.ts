import type { ChunkKey } from "../../core/index.ts";

/** Each entry takes about 150 bytes: 20 MB at most. */
export const MAX_KNOWN_CHUNKS: number = 128 * 1024;

/**
 * What this process put into a remote store or got from it, as far as it remembers: not to be put again.
 * Others put and evict there too, so only the store itself knows what it holds now.
 */
export class KnownChunks {
  readonly #bytes = new Map<ChunkKey, number>();
  #totalBytes = 0;

  get size(): number {
    return this.#bytes.size;
  }
  get totalBytes(): number {
    return this.#totalBytes;
  }

  has(key: ChunkKey): boolean {
    return this.#bytes.has(key);
  }

  keys(): ChunkKey[] {
    return [...this.#bytes.keys()];
  }

  /** The one that was added longest ago is forgotten when there are too many. */
  add(key: ChunkKey, byteLength: number): void {
    this.delete(key);
    this.#bytes.set(key, byteLength);
    this.#totalBytes += byteLength;
    if (this.#bytes.size > MAX_KNOWN_CHUNKS) this.delete(this.#bytes.keys().next().value!);
  }

  delete(key: ChunkKey): boolean {
    this.#totalBytes -= this.#bytes.get(key) ?? 0;
    return this.#bytes.delete(key);
  }
}
