import { open, stat, type FileHandle } from "node:fs/promises";
import { KiB, MiB, UsageError, formatBytes, messageOf } from "../core/index.ts";
import { GgufFormatError, decodeGgufHeader } from "./gguf-codec.ts";
import type { GgufHeader } from "./gguf.ts";

export interface GgufFile extends GgufHeader {
  readonly path: string;
  readonly fileBytes: number;
}

/** Holds the header of a model with a vocabulary of a few thousand tokens. */
const FIRST_READ_BYTES = 256 * KiB;
const GROWTH = 8;
/** The largest vocabularies take about 20 MiB. */
const MAX_HEADER_BYTES = 128 * MiB;

/**
 * Reads everything but the weights.
 *
 * @throws UsageError when the file is missing, not GGUF or cut short
 */
export async function readGguf(path: string): Promise<GgufFile> {
  const handle = await openModelFile(path);
  try {
    const { size: fileBytes } = await handle.stat();
    const header = await readHeader(handle, fileBytes);
    const missingBytes = wholeFileBytes(header) - fileBytes;
    if (missingBytes > 0) {
      throw new GgufFormatError(`is cut short: the last ${formatBytes(missingBytes)} are missing`);
    }
    return { ...header, path, fileBytes };
  } catch (error) {
    if (!(error instanceof GgufFormatError)) throw error;
    throw new UsageError(`Cannot read "${path}" as a GGUF model: it ${error.message}`, {
      cause: error,
    });
  } finally {
    await handle.close();
  }
}

/** @throws UsageError with a sentence when there is no file to read */
export async function openModelFile(path: string): Promise<FileHandle> {
  try {
    // Looked at before it is opened: a pipe would wait for its writer.
    if ((await stat(path)).isFile()) return await open(path, "r");
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    throw new UsageError(
      isMissing
        ? `Cannot find the model file "${path}"`
        : `Cannot open the model file "${path}": ${messageOf(error)}`,
      { cause: error },
    );
  }
  throw new UsageError(`Cannot open "${path}" as a model: wanted a .gguf file`);
}

async function readHeader(handle: FileHandle, fileBytes: number): Promise<GgufHeader> {
  for (let length = FIRST_READ_BYTES; length <= MAX_HEADER_BYTES; length *= GROWTH) {
    const bytes = Buffer.allocUnsafe(Math.min(length, fileBytes));
    let filled = 0;
    while (filled < bytes.byteLength) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.byteLength - filled, filled);
      if (bytesRead === 0) throw new GgufFormatError("became shorter while it was read");
      filled += bytesRead;
    }
    const header = decodeGgufHeader(bytes, fileBytes);
    if (header !== undefined) return header;
  }
  throw new GgufFormatError(`has a header of more than ${formatBytes(MAX_HEADER_BYTES)}`);
}

/** A file without tensors may end without the padding. */
function wholeFileBytes(header: GgufHeader): number {
  return header.tensors.reduce(
    (end, tensor) => Math.max(end, header.dataOffset + tensor.offset + (tensor.byteLength ?? 0)),
    header.headerBytes,
  );
}
