import { randomUUID } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import { dirname, join } from "node:path";
import { UsageError, alignUp, messageOf } from "../core/index.ts";
import { alignmentOf, encodeGgufHeader } from "./gguf-codec.ts";
import { tensorBytes, type GgufMetadata, type GgufTensor } from "./gguf.ts";

/** A tensor whose bytes are made as they are written. */
export interface GgufTensorSource extends GgufTensor {
  /** Whole and in order. A block is written before the next is asked for, so it may be reused. */
  blocks(): Iterable<Uint8Array>;
}

export interface WriteProgress {
  readonly writtenBytes: number;
  readonly totalBytes: number;
}

export interface WriteGgufOptions {
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorSource[];
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a model block by block: never more than one block is in memory. The file appears under its
 * name once it is whole and on disk; on failure or abort nothing is left.
 *
 * @throws UsageError when there is no place to write to
 */
export async function writeGguf(path: string, options: WriteGgufOptions): Promise<void> {
  // In the same directory, so that the rename is atomic.
  const temporaryPath = join(dirname(path), `.${randomUUID()}.gguf.tmp`);
  let handle: FileHandle;
  try {
    handle = await open(temporaryPath, "wx");
  } catch (error) {
    throw new UsageError(`Cannot write the model "${path}": ${messageOf(error)}`, { cause: error });
  }
  try {
    try {
      await writeAll(handle, options);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporaryPath, path);
  } catch (error) {
    await rm(temporaryPath, { force: true });
    throw error;
  }
}

async function writeAll(
  handle: FileHandle,
  { metadata, tensors, onProgress, signal }: WriteGgufOptions,
): Promise<void> {
  const header = encodeGgufHeader(metadata, tensors);
  const alignment = alignmentOf(metadata);
  const totalBytes = tensors.reduce(
    (sum, { type, shape }) => sum + alignUp(tensorBytes(type, shape), alignment),
    header.byteLength,
  );
  let writtenBytes = 0;
  const write = async (bytes: Uint8Array): Promise<void> => {
    signal?.throwIfAborted();
    for (let done = 0; done < bytes.byteLength;) {
      done += (await handle.write(bytes, done)).bytesWritten;
    }
    writtenBytes += bytes.byteLength;
    onProgress?.({ writtenBytes, totalBytes });
  };

  await write(header);
  for (const tensor of tensors) {
    const start = writtenBytes;
    for (const block of tensor.blocks()) await write(block);
    const wantedBytes = tensorBytes(tensor.type, tensor.shape);
    if (writtenBytes - start !== wantedBytes) {
      throw new Error(`${tensor.name} has ${writtenBytes - start} bytes, wanted ${wantedBytes}`);
    }
    const paddingBytes = alignUp(wantedBytes, alignment) - wantedBytes;
    if (paddingBytes > 0) await write(new Uint8Array(paddingBytes));
  }
}
