import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, opendir, rename, stat, unlink } from "node:fs/promises";
import path from "node:path";
import { type Clock, type TierErrorCode, TierError, UsageError, messageOf } from "../core/index.ts";
import type { RemoteOptions } from "./remote-options.ts";
import type { RemoteCall, RemoteStore } from "./remote-store.ts";

const EXTENSION = ".kv";
/** What is neither a path nor hidden, and what every file system takes. */
const PLAIN_NAME = /^(?!sha256-)[\w@~-][\w.@~-]{0,199}$/;
const TEMPORARY_NAME = /^\.warmkv-[0-9a-f]{16}\.tmp$/;
/** To write a value takes seconds: a temporary file of this age is nobody's. */
const TEMPORARY_STALE_MS = 60 * 60_000;
/** Looked for at the same time. */
const STATS_AT_ONCE = 16;

/**
 * `fs:///directory`: one file for each value in a directory that several hosts may share. A file comes into being
 * under a temporary name and is renamed when it is whole. There is no index and no bound: what is too old or too much
 * is for the owner of the directory to remove, at any time.
 *
 * @throws UsageError for an address that names no directory
 */
export function openFsRemote(url: string, { clock }: Pick<RemoteOptions, "clock">): RemoteStore {
  return new FsRemote(parseFsUrl(url), clock);
}

class FsRemote implements RemoteStore {
  readonly address: string;
  readonly #directory: string;
  readonly #clock: Clock;
  #isPrepared = false;
  #isClosed = false;

  constructor(directory: string, clock: Clock) {
    this.address = `fs://${directory}`;
    this.#directory = directory;
    this.#clock = clock;
  }

  async lookup(names: readonly string[], { signal }: RemoteCall): Promise<number> {
    for (let start = 0; start < names.length; start += STATS_AT_ONCE) {
      await this.#prepare(signal);
      const group = names.slice(start, start + STATS_AT_ONCE);
      const found = await Promise.all(group.map((name) => this.#isThere(name)));
      const gap = found.indexOf(false);
      if (gap >= 0) return start + gap;
    }
    return names.length;
  }

  async get(
    name: string,
    allocate: (byteLength: number) => Uint8Array | undefined,
    { signal }: RemoteCall,
  ): Promise<number | undefined> {
    await this.#prepare(signal);
    let file: FileHandle;
    try {
      file = await open(this.#pathOf(name), constants.O_RDONLY);
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw this.#failure(error);
    }
    try {
      const { size } = await file.stat();
      const target = allocate(size);
      if (target === undefined) return undefined;
      await this.#fill(file, target.subarray(0, size), signal);
      return size;
    } catch (error) {
      throw this.#failure(error);
    } finally {
      await file.close().catch(() => {});
    }
  }

  async put(name: string, value: Uint8Array, { signal }: RemoteCall): Promise<boolean> {
    await this.#prepare(signal);
    const target = this.#pathOf(name);
    const temporary = path.join(this.#directory, temporaryName());
    try {
      if (await this.#isThere(name)) return true;
      await writeNew(temporary, value, signal);
      await rename(temporary, target);
      return true;
    } catch (error) {
      await unlink(temporary).catch(() => {});
      if (isFull(error)) return false;
      throw this.#failure(error);
    }
  }

  async remove(names: readonly string[], { signal }: RemoteCall): Promise<number> {
    let numRemoved = 0;
    for (const name of names) {
      await this.#prepare(signal);
      try {
        await unlink(this.#pathOf(name));
        numRemoved++;
      } catch (error) {
        if (!isMissing(error)) throw this.#failure(error);
      }
    }
    return numRemoved;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
  }

  async #fill(file: FileHandle, target: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let numRead = 0; numRead < target.byteLength;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(target, numRead, target.byteLength - numRead, numRead);
      if (bytesRead === 0) {
        const message = "A file ended before its size said so";
        throw new TierError(this.address, "protocol", message);
      }
      numRead += bytesRead;
    }
  }

  async #isThere(name: string): Promise<boolean> {
    try {
      return (await stat(this.#pathOf(name))).isFile();
    } catch (error) {
      if (isMissing(error)) return false;
      throw this.#failure(error);
    }
  }

  /** A path is never made from raw input. */
  #pathOf(name: string): string {
    const isPlain = PLAIN_NAME.test(name);
    const fileName = isPlain ? name : `sha256-${createHash("sha256").update(name).digest("hex")}`;
    return path.join(this.#directory, fileName + EXTENSION);
  }

  async #prepare(signal: AbortSignal): Promise<void> {
    if (this.#isClosed) throw new TierError(this.address, "closed", "The store is closed");
    signal.throwIfAborted();
    if (this.#isPrepared) return;
    try {
      await mkdir(this.#directory, { recursive: true });
    } catch (error) {
      throw this.#failure(error);
    }
    this.#isPrepared = true;
    const olderThanMs = this.#clock.wallMs() - TEMPORARY_STALE_MS;
    void removeStale(this.#directory, olderThanMs).catch(() => {});
  }

  #failure(error: unknown): unknown {
    const systemCode = (error as NodeJS.ErrnoException).code;
    // A signal's reason, and what was explained already.
    if (systemCode === undefined || !/^E[A-Z]/.test(systemCode)) return error;
    const code: TierErrorCode = /^E(ACCES|PERM|ROFS)$/.test(systemCode)
      ? "unauthorized"
      : "unavailable";
    return new TierError(this.address, code, messageOf(error), { cause: error });
  }
}

async function writeNew(file: string, value: Uint8Array, signal: AbortSignal): Promise<void> {
  const handle = await open(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL);
  try {
    for (let numWritten = 0; numWritten < value.byteLength;) {
      signal.throwIfAborted();
      const rest = value.byteLength - numWritten;
      numWritten += (await handle.write(value, numWritten, rest, numWritten)).bytesWritten;
    }
  } finally {
    // Network file systems tell of a full disk here.
    await handle.close();
  }
}

/** What processes that were killed left behind. */
async function removeStale(directory: string, olderThanMs: number): Promise<void> {
  for await (const { name } of await opendir(directory)) {
    if (!TEMPORARY_NAME.test(name)) continue;
    const file = path.join(directory, name);
    if ((await stat(file)).mtimeMs < olderThanMs) await unlink(file);
  }
}

function temporaryName(): string {
  return `.warmkv-${randomBytes(8).toString("hex")}.tmp`;
}

function parseFsUrl(url: string): string {
  // LMCache writes a host and a port in front of the path, and looks at neither.
  const match = /^fs:\/\/(?:[^/?#]*:\d*)?(\/[^?#]+)$/i.exec(url);
  if (match !== null) return path.resolve(decodeURIComponent(match[1]!));
  throw new UsageError(
    `Cannot use "${url}": wanted an absolute path to a directory, such as fs:///mnt/shared/kv`,
    { param: "remote_url" },
  );
}

function isMissing(error: unknown): boolean {
  return /^(ENOENT|ENOTDIR)$/.test((error as NodeJS.ErrnoException).code ?? "");
}

function isFull(error: unknown): boolean {
  return /^(ENOSPC|EDQUOT|EFBIG)$/.test((error as NodeJS.ErrnoException).code ?? "");
}
