import type { ChunkKey } from "../../core/index.ts";
import type { KvBuffer, MemoryPool } from "../../memory/index.ts";
import { readChunkHeader } from "../chunk-file.ts";
import { type ChunkFiles, headerFault } from "./chunk-files.ts";
import type { CachedRead } from "./cached-read.ts";
import type { ChunkPlaces } from "./chunk-places.ts";
import type { ChunkRemover } from "./chunk-remover.ts";
import type { DirectoryScanner } from "./directory-scanner.ts";
import type { ChunkFile } from "./disk-index.ts";
import type { DiskSpace } from "./disk-space.ts";
import { errorCodeOf } from "./file-system.ts";
import type { IoExecutor } from "./io-executor.ts";
import type { Outage } from "./outage.ts";
import type { Reader } from "./read-ahead.ts";

export interface DiskReaderOptions {
  readonly pool: MemoryPool;
  /** Undefined where there is no such thing, or the page cache is not wanted. */
  readonly cachedRead: CachedRead | undefined;
  readonly files: ChunkFiles;
  readonly places: ChunkPlaces;
  readonly space: DiskSpace;
  readonly executor: IoExecutor;
  readonly remover: ChunkRemover;
  readonly scanner: DirectoryScanner;
  readonly outage: Outage;
}

/** Reads chunks straight into slabs of the pool. */
export class DiskReader {
  readonly #options: DiskReaderOptions;

  constructor(options: DiskReaderOptions) {
    this.#options = options;
  }

  /**
   * Begins to read a chunk.
   *
   * @param reader looked at when the read's turn comes: one under way is not interrupted
   * @param done gets the chunk, or undefined for what cannot be had; called later or at once
   * @returns false when the pool has no slab to read into; `done` is then never called
   */
  start(key: ChunkKey, reader: Reader, done: (buffer: KvBuffer | undefined) => void): boolean {
    const { pool, space, executor, outage } = this.#options;
    const file = space.fileOf(key);
    if (file === undefined || outage.isActive) {
      done(undefined);
      return true;
    }
    const buffer = pool.tryAllocate(file.fileBytes);
    if (buffer === undefined) return false;
    if (this.#readCached(key, file, buffer)) {
      done(buffer);
      return true;
    }
    // Whoever asked may let go before it is read, and what stands under the key then be another file.
    space.hold(key);
    executor.submit("read", async () => {
      const isRead = !reader.isCancelled && (await this.#read(key, file, buffer));
      space.unhold(key);
      if (!isRead) buffer[Symbol.dispose]();
      done(isRead ? buffer : undefined);
    });
    return true;
  }

  /** @returns whether the whole chunk was in the kernel's memory. One that looks damaged is read again the long way */
  #readCached(key: ChunkKey, file: ChunkFile, buffer: KvBuffer): boolean {
    const { cachedRead, places } = this.#options;
    const { address } = buffer;
    if (cachedRead === undefined || address === undefined) return false;
    if (!cachedRead.read(places.pathOf(file.place, key), address, file.fileBytes)) return false;
    const header = readChunkHeader(buffer.capacity.subarray(0, file.fileBytes));
    if (headerFault(header, key, file.fileBytes) !== undefined) return false;
    buffer.resize(header!.headerBytes + header!.payloadBytes);
    return true;
  }

  async #read(key: ChunkKey, file: ChunkFile, buffer: KvBuffer): Promise<boolean> {
    const { files, places, remover } = this.#options;
    const path = places.pathOf(file.place, key);
    const bytes = buffer.capacity.subarray(0, file.fileBytes);
    try {
      const numRead = await files.read(path, bytes);
      const header = numRead === bytes.byteLength ? readChunkHeader(bytes) : undefined;
      const fault =
        numRead < bytes.byteLength ? "the file is cut off" : headerFault(header, key, numRead);
      if (fault === undefined) {
        buffer.resize(header!.headerBytes + header!.payloadBytes);
        return true;
      }
      await remover.removeDamaged(key, path, fault);
    } catch (error) {
      await this.#failed(key, path, error);
    }
    return false;
  }

  async #failed(key: ChunkKey, path: string, error: unknown): Promise<void> {
    const { space, remover, scanner, outage } = this.#options;
    switch (errorCodeOf(error)) {
      case "ENOENT":
        // Evicted by another process, or the directory is gone.
        space.forget(key);
        scanner.request();
        break;
      case "EIO":
      case "EISDIR":
        // This file, not the disk.
        await remover.removeDamaged(key, path, "the file cannot be read");
        break;
      default:
        outage.report(error);
    }
  }
}
