import fs from "node:fs";

export interface FileStatus {
  readonly isFile: boolean;
  readonly byteLength: number;
  readonly modifiedMs: number;
  /** When anything about the file changed, its name included. */
  readonly changedMs: number;
}

/**
 * The calls that the disk tier makes. One interface, so that a test can make a disk fail. They reject
 * with the system's error, whose `code` is looked at.
 */
export interface FileSystem {
  open(path: string, flags: number): Promise<number>;
  /** @returns how many bytes were read */
  read(file: number, into: Uint8Array, position: number): Promise<number>;
  /** @returns how many bytes were written */
  write(file: number, from: Uint8Array, position: number): Promise<number>;
  close(file: number): Promise<void>;
  status(path: string): Promise<FileStatus>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  setModified(path: string, wallMs: number): Promise<void>;
  makeDirectory(path: string): Promise<void>;
  /** The names in a directory, in any order. */
  list(directory: string): AsyncIterable<string>;
}

const FILE_MODE = 0o644;
/** Names per call: a directory of 100,000 files is listed without stopping anything else. */
const LIST_BATCH = 256;

/** Plain calls with callbacks: for files of a few MiB, FileHandle objects cost several per cent. */
export const nodeFileSystem: FileSystem = {
  open: (path, flags) => promised((done) => fs.open(path, flags, FILE_MODE, done)),
  read: (file, into, position) =>
    promised((done) => fs.read(file, into, 0, into.byteLength, position, done)),
  write: (file, from, position) =>
    promised((done) => fs.write(file, from, 0, from.byteLength, position, done)),
  close: (file) => promised((done) => fs.close(file, done)),
  status: async (path) => {
    const stats = await promised<fs.Stats>((done) => fs.stat(path, done));
    return {
      isFile: stats.isFile(),
      byteLength: stats.size,
      modifiedMs: stats.mtimeMs,
      changedMs: stats.ctimeMs,
    };
  },
  rename: (from, to) => promised((done) => fs.rename(from, to, done)),
  unlink: (path) => promised((done) => fs.unlink(path, done)),
  setModified: (path, wallMs) =>
    promised((done) => fs.utimes(path, wallMs / 1000, wallMs / 1000, done)),
  makeDirectory: async (path) => void (await fs.promises.mkdir(path, { recursive: true })),
  list: listNames,
};

async function* listNames(directory: string): AsyncGenerator<string> {
  for await (const entry of await fs.promises.opendir(directory, { bufferSize: LIST_BATCH })) {
    yield entry.name;
  }
}

/** The system's word for what went wrong: "ENOENT", "ENOSPC". Undefined for what it never said. */
export function errorCodeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

/** @returns whether the file is gone */
export async function removeIfPossible(fileSystem: FileSystem, path: string): Promise<boolean> {
  try {
    await fileSystem.unlink(path);
    return true;
  } catch (error) {
    return errorCodeOf(error) === "ENOENT";
  }
}

type Done<T> = (error: Error | null, value?: T) => void;

function promised<T = void>(call: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) =>
    call((error, value) => (error ? reject(error) : resolve(value as T))),
  );
}
