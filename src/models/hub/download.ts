import { type Hash, createHash } from "node:crypto";
import { constants, type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { MiB } from "../../core/index.ts";
import type { HubFile } from "./hub-file.ts";
import { HubUnavailableError, type Sleep, networkReason, retryDelayMs } from "./hub-fetch.ts";

export interface DownloadOptions {
  /** A response with the file's bytes from `start` on (206), or all of them (200). */
  readonly request: (start: number, signal: AbortSignal) => Promise<Response>;
  /** Called with every piece that arrives. */
  readonly onBytes: (numBytes: number) => void;
  readonly signal?: AbortSignal | undefined;
  readonly sleep: Sleep;
}

/** Connections in a row that brought nothing. */
const MAX_FRUITLESS_TRIES = 5;
/** A connection over which nothing comes is given up and made anew. */
const STALL_TIMEOUT_MS = 30_000;
const READ_BYTES = 4 * MiB;

/** Where a file grows until it is whole. Its name is its content's, so that anybody may go on with it. */
export function partialPathOf(blobPath: string): string {
  return `${blobPath}.warmkv.incomplete`;
}

/**
 * Downloads a file, or the rest of it. It appears at `blobPath` once it is whole, on disk and its content
 * is what its hash says. What has arrived stays when this fails, and the next call goes on from there.
 *
 * Two at once do no harm: both write the same bytes to the same places.
 *
 * @throws HubUnavailableError when the hub is gone, and what `request` throws
 */
export async function downloadFile(
  file: HubFile,
  blobPath: string,
  options: DownloadOptions,
): Promise<void> {
  const partialPath = partialPathOf(blobPath);
  if (await downloadOnce(file, partialPath, options)) return publish(partialPath, blobPath);
  // The part that was there may be the damaged one: once more from the start.
  await rm(partialPath, { force: true });
  if (await downloadOnce(file, partialPath, options)) return publish(partialPath, blobPath);
  await rm(partialPath, { force: true });
  throw new Error(
    `Cannot download ${file.path}: what arrives has not the hash ${file.contentHash} that the hub names`,
  );
}

/** @returns false when what has arrived is not the file */
async function downloadOnce(
  file: HubFile,
  partialPath: string,
  options: DownloadOptions,
): Promise<boolean> {
  const handle = await open(partialPath, constants.O_RDWR | constants.O_CREAT, 0o644);
  try {
    const { size } = await handle.stat();
    if (size > file.fileBytes) return false;
    const hash = hashFor(file);
    await addRange(hash, handle, size, options.signal);
    await receive(file, { handle, hash, start: size }, options);
    if (hash.digest("hex") !== file.contentHash) return false;
    await handle.sync();
    return true;
  } finally {
    await handle.close();
  }
}

function hashFor(file: HubFile): Hash {
  if (file.contentHash.length === 64) return createHash("sha256");
  return createHash("sha1").update(`blob ${file.fileBytes}\0`);
}

async function addRange(
  hash: Hash,
  handle: FileHandle,
  end: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, end));
  for (let at = 0; at < end;) {
    signal?.throwIfAborted();
    const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - at), at);
    if (bytesRead === 0) throw new Error("A download became shorter while it was read");
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

interface Sink {
  readonly handle: FileHandle;
  readonly hash: Hash;
  readonly start: number;
}

async function receive(file: HubFile, sink: Sink, options: DownloadOptions): Promise<void> {
  const { signal, sleep } = options;
  let at = sink.start;
  let numFruitless = 0;
  while (at < file.fileBytes) {
    const before = at;
    let reason = "it ended early";
    try {
      for await (const bytes of piecesFrom(at, options)) {
        const wanted = bytes.subarray(0, file.fileBytes - at);
        await writeAll(sink.handle, wanted, at);
        sink.hash.update(wanted);
        at += wanted.length;
        options.onBytes(wanted.length);
        if (at === file.fileBytes) break;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof ConnectionLostError)) throw error;
      reason = error.message;
    }
    if (at === file.fileBytes) return;
    numFruitless = at > before ? 1 : numFruitless + 1;
    if (numFruitless >= MAX_FRUITLESS_TRIES) {
      throw new HubUnavailableError(`The connection was lost again and again (${reason})`);
    }
    await sleep(retryDelayMs(numFruitless), signal);
  }
}

/** A body broke off. */
class ConnectionLostError extends Error {}

async function* piecesFrom(at: number, options: DownloadOptions): AsyncGenerator<Uint8Array> {
  const stalled = new AbortController();
  const signal = options.signal
    ? AbortSignal.any([options.signal, stalled.signal])
    : stalled.signal;
  const response = await options.request(at, signal);
  // A server that knows no ranges sends all: what is here already is left out.
  let numToSkip = at - startOf(response, at);
  if (numToSkip < 0) throw new ConnectionLostError("the server sent another part");
  const timer = setTimeout(
    () => stalled.abort(new Error(`nothing came for ${STALL_TIMEOUT_MS / 1000} s`)),
    STALL_TIMEOUT_MS,
  ).unref();
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new ConnectionLostError(networkReason(error), { cause: error });
      });
      if (done) return;
      timer.refresh();
      const numSkipped = Math.min(numToSkip, value.length);
      numToSkip -= numSkipped;
      if (numSkipped < value.length) yield value.subarray(numSkipped);
    }
  } finally {
    clearTimeout(timer);
    await reader.cancel().catch(() => {});
  }
}

function startOf(response: Response, asked: number): number {
  if (response.status !== 206) return 0;
  const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "");
  return Number(range?.[1] ?? asked);
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await handle.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
  }
}

/** Another process may have been faster: then its file is there, and it is the same. */
async function publish(partialPath: string, blobPath: string): Promise<void> {
  try {
    await rename(partialPath, blobPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    await stat(blobPath);
  }
}
