import { realpath } from "node:fs/promises";
import path from "node:path";
import { type ChunkKey, UsageError, messageOf, silentLogger } from "../core/index.ts";
import {
  ChunkFiles,
  type ChunkHeader,
  errorCodeOf,
  headerFault,
  nodeFileSystem,
  parseChunkFileName,
} from "../tiers/index.ts";

/** Small calls in flight: their cost is the way to another thread and back. */
const NUM_CALLS = 32;

/** A file in the directory of a disk tier. */
export interface DirectoryFile {
  readonly path: string;
  readonly fileBytes: number;
  readonly modifiedMs: number;
  /** Undefined for what is not named like a chunk. */
  readonly chunk: { readonly key: ChunkKey; readonly model: string } | undefined;
}

export interface ChunkFile extends DirectoryFile {
  readonly chunk: NonNullable<DirectoryFile["chunk"]>;
}

/** What a header says, or what is wrong with it. */
export type InspectedHeader =
  | { readonly header: ChunkHeader; readonly fault?: undefined }
  | { readonly header?: undefined; readonly fault: string };

/** The directories of a disk tier, seen from outside: a server may be using them meanwhile. */
export class CacheDirectory {
  readonly directories: readonly string[];
  readonly #files = new ChunkFiles({
    fileSystem: nodeFileSystem,
    useOdirect: false,
    logger: silentLogger,
  });

  /** @throws UsageError for what is no directory */
  static async open(paths: readonly string[]): Promise<CacheDirectory> {
    const real = await Promise.all(paths.map(realDirectory));
    return new CacheDirectory([...new Set(real)]);
  }

  private constructor(directories: readonly string[]) {
    this.directories = directories;
  }

  /** In the order in which they are listed: nothing is kept, however many there are. */
  async *files(): AsyncGenerator<DirectoryFile, void, undefined> {
    for (const directory of this.directories) {
      const paths = joined(directory, nodeFileSystem.list(directory));
      for await (const file of mapAhead(paths, inspect)) if (file !== undefined) yield file;
    }
  }

  async *chunks(): AsyncGenerator<ChunkFile, void, undefined> {
    for await (const file of this.files()) if (isChunkFile(file)) yield file;
  }

  /** With what their headers say; without those that are gone meanwhile. */
  async *inspectedChunks(): AsyncGenerator<ChunkFile & InspectedHeader, void, undefined> {
    const inspected = mapAhead(this.chunks(), async (file) => {
      try {
        const found = await this.inspectHeader(file);
        return found && { ...file, ...found };
      } catch (error) {
        return { ...file, fault: `it cannot be read: ${messageOf(error)}` };
      }
    });
    for await (const file of inspected) if (file !== undefined) yield file;
  }

  /**
   * Removes all chunks; what is not named like one stays.
   *
   * @returns how many went, and their bytes
   */
  async clear(): Promise<{ readonly numChunks: number; readonly numBytes: number }> {
    let numChunks = 0;
    let numBytes = 0;
    const removed = mapAhead(this.chunks(), async (file) =>
      (await this.remove(file)) ? file : undefined,
    );
    for await (const file of removed) {
      if (file === undefined) continue;
      numChunks++;
      numBytes += file.fileBytes;
    }
    return { numChunks, numBytes };
  }

  /**
   * @returns undefined when the file is gone
   * @throws the system's error when it cannot be read
   */
  async inspectHeader(file: ChunkFile): Promise<InspectedHeader | undefined> {
    const header = await ignoringMissing(this.#files.readHeader(file.path, file.fileBytes));
    if (header === gone) return undefined;
    const fault = headerFault(header, file.chunk.key, file.fileBytes);
    return fault === undefined ? { header: header! } : { fault };
  }

  /**
   * Reads a whole file.
   *
   * @returns how many bytes were read; undefined when the file is gone
   */
  async read(file: ChunkFile, into: Uint8Array): Promise<number | undefined> {
    const numRead = await ignoringMissing(this.#files.read(file.path, into));
    return numRead === gone ? undefined : numRead;
  }

  /** @returns undefined when the file is gone */
  async refresh(file: ChunkFile): Promise<ChunkFile | undefined> {
    const found = await inspect(file.path);
    return found && isChunkFile(found) ? found : undefined;
  }

  /** @returns whether it was still there */
  async remove(file: DirectoryFile): Promise<boolean> {
    return (await ignoringMissing(nodeFileSystem.unlink(file.path))) !== gone;
  }
}

function isChunkFile(file: DirectoryFile): file is ChunkFile {
  return file.chunk !== undefined;
}

async function inspect(filePath: string): Promise<DirectoryFile | undefined> {
  const status = await ignoringMissing(nodeFileSystem.status(filePath));
  if (status === gone || !status.isFile) return undefined;
  const { byteLength: fileBytes, modifiedMs } = status;
  const parsed = parseChunkFileName(path.basename(filePath));
  const chunk = parsed && { key: parsed.key, model: modelOf(parsed.prefix) };
  return { path: filePath, fileBytes, modifiedMs, chunk };
}

/** `<format>@<model>@<world size>@<worker id>@`: no part holds an "@". */
function modelOf(prefix: string): string {
  return prefix.split("@")[1]!;
}

async function realDirectory(given: string): Promise<string> {
  try {
    const real = await realpath(given);
    for await (const _ of nodeFileSystem.list(real)) break;
    return real;
  } catch (error) {
    throw new UsageError(`Cannot read --dir "${given}": ${messageOf(error)}`, {
      param: "--dir",
      cause: error,
    });
  }
}

async function* joined(
  directory: string,
  names: AsyncIterable<string>,
): AsyncGenerator<string, void, undefined> {
  for await (const name of names) yield path.join(directory, name);
}

/** Runs a job for each item, several at a time; the results come in the order of the items. */
async function* mapAhead<Item, Result>(
  items: AsyncIterable<Item>,
  job: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void, undefined> {
  const ahead: Promise<Result>[] = [];
  for await (const item of items) {
    const result = job(item);
    // Whoever takes it sees the failure; until then it is no one's.
    result.catch(() => {});
    ahead.push(result);
    if (ahead.length >= NUM_CALLS) yield await ahead.shift()!;
  }
  for (const result of ahead) yield await result;
}

const gone = Symbol("gone");

/** A server may have evicted it meanwhile. */
async function ignoringMissing<T>(work: Promise<T>): Promise<T | typeof gone> {
  try {
    return await work;
  } catch (error) {
    if (errorCodeOf(error) === "ENOENT") return gone;
    throw error;
  }
}
