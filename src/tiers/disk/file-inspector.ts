import type { ChunkKey } from "../../core/index.ts";
import { PAGE_BYTES } from "../../memory/index.ts";
import { type ChunkFiles, headerFault } from "./chunk-files.ts";
import type { ChunkPlaces, PlaceId } from "./chunk-places.ts";
import type { ChunkRemover } from "./chunk-remover.ts";
import type { DepartureWatch } from "./departure-watch.ts";
import type { ChunkFile } from "./disk-index.ts";
import type { FileStatus, FileSystem } from "./file-system.ts";

/** A file with a chunk's name. */
export interface FoundFile extends ChunkFile {
  readonly key: ChunkKey;
  readonly modifiedMs: number;
}

export interface FileInspectorOptions {
  readonly fileSystem: FileSystem;
  readonly files: ChunkFiles;
  readonly places: ChunkPlaces;
  readonly remover: ChunkRemover;
}

/**
 * Tells chunks from what only has a chunk's name. What certainly is none is removed and counted as
 * damaged; what cannot be looked at is left alone.
 */
export class FileInspector {
  readonly #options: FileInspectorOptions;

  constructor(options: FileInspectorOptions) {
    this.#options = options;
  }

  /** By its size alone. @returns undefined if it is no chunk */
  async find(key: ChunkKey, place: PlaceId): Promise<FoundFile | undefined> {
    const { places, remover } = this.#options;
    const path = places.pathOf(place, key);
    const status = await this.#status(path);
    if (!status?.isFile) return undefined;
    const { byteLength: fileBytes, modifiedMs } = status;
    if (fileBytes > 0 && fileBytes % PAGE_BYTES === 0) return { key, place, fileBytes, modifiedMs };
    await remover.removeDamaged(key, path, `the file has ${fileBytes} bytes`);
    return undefined;
  }

  /**
   * By its header.
   *
   * @param watch begun before the file was found: another one may have taken its name since
   * @returns undefined if it is no chunk
   */
  async parentOf(
    found: FoundFile,
    watch: DepartureWatch,
  ): Promise<{ parent: ChunkKey | undefined } | undefined> {
    const { files, places, remover } = this.#options;
    const path = places.pathOf(found.place, found.key);
    try {
      const header = await files.readHeader(path, found.fileBytes);
      const fault = headerFault(header, found.key, found.fileBytes);
      if (fault === undefined) return { parent: header!.parent };
      if (!watch.has(found.key)) await remover.removeDamaged(found.key, path, fault);
    } catch {
      // Gone, or not ours to read.
    }
    return undefined;
  }

  async #status(path: string): Promise<FileStatus | undefined> {
    try {
      return await this.#options.fileSystem.status(path);
    } catch {
      return undefined;
    }
  }
}
