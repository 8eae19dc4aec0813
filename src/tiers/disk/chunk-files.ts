import { constants } from "node:fs";
import { type ChunkKey, type Logger, alignUp, messageOf } from "../../core/index.ts";
import { PAGE_BYTES } from "../../memory/index.ts";
import { type ChunkHeader, readChunkHeader } from "../chunk-file.ts";
import { type FileSystem, errorCodeOf } from "./file-system.ts";

/** A header larger than a page belongs to a chunk of more than a thousand tokens, or to nothing of ours. */
const MAX_HEADER_BYTES = 1 << 20;

export interface ChunkFilesOptions {
  readonly fileSystem: FileSystem;
  /** Past the page cache, where the file system and the memory allow it. */
  readonly useOdirect: boolean;
  readonly logger: Logger;
}

/** Reads and writes whole files. Sizes are whole pages, and so are the buffers' addresses with O_DIRECT. */
export class ChunkFiles {
  readonly #fileSystem: FileSystem;
  readonly #logger: Logger;
  #directFlag: number;

  constructor(options: ChunkFilesOptions) {
    this.#fileSystem = options.fileSystem;
    this.#logger = options.logger;
    this.#directFlag = 0;
    if (!options.useOdirect) return;
    // Windows and macOS have no such flag.
    this.#directFlag = (constants.O_DIRECT as number | undefined) ?? 0;
    if (this.#directFlag === 0) this.#warnBuffered("this platform has no O_DIRECT");
  }

  /** @returns how many bytes the file had, at most those that fit */
  async read(path: string, into: Uint8Array): Promise<number> {
    const direct = this.#directFlag;
    try {
      const file = await this.#fileSystem.open(path, constants.O_RDONLY | direct);
      try {
        let numRead = await this.#fileSystem.read(file, into, 0);
        while (numRead > 0 && numRead < into.byteLength) {
          const num = await this.#fileSystem.read(file, into.subarray(numRead), numRead);
          if (num === 0) break;
          numRead += num;
        }
        return numRead;
      } finally {
        // The bytes are there: nobody needs to wait for this, and nothing can go wrong that matters.
        void this.#fileSystem.close(file).catch(() => {});
      }
    } catch (error) {
      this.#fallBack(direct, error);
      return await this.read(path, into);
    }
  }

  /** Makes the file, or writes over one of the same size. */
  async write(path: string, bytes: Uint8Array): Promise<void> {
    const direct = this.#directFlag;
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | direct;
      const file = await this.#fileSystem.open(path, flags);
      try {
        let numWritten = await this.#fileSystem.write(file, bytes, 0);
        while (numWritten < bytes.byteLength) {
          numWritten += await this.#fileSystem.write(file, bytes.subarray(numWritten), numWritten);
        }
      } finally {
        await this.#fileSystem.close(file);
      }
    } catch (error) {
      this.#fallBack(direct, error);
      await this.write(path, bytes);
    }
  }

  /** The header of a file, without reading the payload; undefined if it has none. */
  async readHeader(path: string, fileBytes: number): Promise<ChunkHeader | undefined> {
    const file = await this.#fileSystem.open(path, constants.O_RDONLY);
    try {
      for (const numBytes of [PAGE_BYTES, Math.min(fileBytes, MAX_HEADER_BYTES)]) {
        const bytes = Buffer.allocUnsafe(numBytes);
        if ((await this.#fileSystem.read(file, bytes, 0)) < numBytes) return undefined;
        const header = readChunkHeader(bytes);
        if (header !== undefined || numBytes >= fileBytes) return header;
      }
      return undefined;
    } finally {
      await this.#fileSystem.close(file);
    }
  }

  /** Gives O_DIRECT up if it is to blame. @throws the error if it is not */
  #fallBack(direct: number, error: unknown): void {
    if (direct === 0 || errorCodeOf(error) !== "EINVAL") throw error;
    if (this.#directFlag !== 0) this.#warnBuffered(messageOf(error));
    this.#directFlag = 0;
  }

  #warnBuffered(reason: string): void {
    this.#logger.warn(`Cannot use O_DIRECT for the local disk: ${reason}. Using the page cache`);
  }
}

/** Why these bytes are not the file of this key; undefined when they may be. The payload is not looked at. */
export function headerFault(
  header: ChunkHeader | undefined,
  key: ChunkKey,
  fileBytes: number,
): string | undefined {
  if (header === undefined) return "no whole header of this version";
  if (header.key !== key) return "the header has another key";
  if (alignUp(header.headerBytes + header.payloadBytes, PAGE_BYTES) !== fileBytes) {
    return "the file has another size than its header says";
  }
  return undefined;
}
