import { createHash } from "node:crypto";
import type { ChunkKey } from "../core/index.ts";
import { GiB } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import { LM_KEY_BYTES, type LmValueType } from "../protocol/index.ts";
import { type ChunkHeader, chunkHeaderBytes, readChunkHeader, sealChunk } from "../tiers/index.ts";

/** A run of memory, a file and a message of this size are fine everywhere; beyond 2 GiB they are not. */
export const MAX_VALUE_BYTES: number = GiB;

const TYPE_BYTES = 6 * Int32Array.BYTES_PER_ELEMENT;

/** In front of the payload. The same for all names, so that a body can be received behind it. */
export const VALUE_HEADER_BYTES: number = chunkHeaderBytes(TYPE_BYTES + LM_KEY_BYTES);

const KEY_BYTES = 16;
const NO_FINGERPRINT = "0".repeat(32);

/** Of a name of another engine's choice. Whoever finds something under it compares the name itself. */
export function keyOf(name: string): ChunkKey {
  return createHash("sha256").update(name).digest().toString("hex", 0, KEY_BYTES) as ChunkKey;
}

/**
 * Makes a chunk of what was received: label and header in front of the payload.
 *
 * @param isChecksummed whether the chunk will leave this process's memory
 */
export function sealValue(
  buffer: KvBuffer,
  name: string,
  type: LmValueType,
  isChecksummed: boolean,
): void {
  const label = Buffer.alloc(TYPE_BYTES + Buffer.byteLength(name));
  [type.format, type.dtype, ...type.shape].forEach((number, index) =>
    label.writeInt32LE(number, index * Int32Array.BYTES_PER_ELEMENT),
  );
  label.write(name, TYPE_BYTES);
  const chunk = isChecksummed ? buffer.bytes : buffer.bytes.subarray(0, VALUE_HEADER_BYTES);
  sealChunk(chunk, {
    kind: "opaque",
    key: keyOf(name),
    parent: undefined,
    fingerprint: NO_FINGERPRINT,
    start: 0,
    end: 0,
    label,
  });
  buffer.markChecked();
}

/** A value that was asked for. Its memory is pinned until it is disposed. */
export class Value implements Disposable {
  readonly type: LmValueType;
  readonly payload: Uint8Array;
  readonly #buffer: KvBuffer;

  /** @param buffer from now on the value's */
  constructor(buffer: KvBuffer, header: ChunkHeader) {
    this.#buffer = buffer;
    this.type = typeOf(header);
    this.payload = buffer.bytes.subarray(VALUE_HEADER_BYTES);
  }

  [Symbol.dispose](): void {
    this.#buffer[Symbol.dispose]();
  }
}

/** The name in a header; undefined if it is not that of a value. */
export function nameOf(header: ChunkHeader): string | undefined {
  const isValue = header.kind === "opaque" && header.headerBytes === VALUE_HEADER_BYTES;
  if (!isValue || header.label.byteLength < TYPE_BYTES) return undefined;
  const { buffer, byteOffset, byteLength } = header.label;
  return Buffer.from(buffer, byteOffset, byteLength).toString("utf8", TYPE_BYTES);
}

/** The header of a value with this name; undefined for any other chunk. */
export function readValueHeader(chunk: Uint8Array, name: string): ChunkHeader | undefined {
  const header = readChunkHeader(chunk.subarray(0, VALUE_HEADER_BYTES));
  return header !== undefined && nameOf(header) === name ? header : undefined;
}

function typeOf({ label }: ChunkHeader): LmValueType {
  const view = new DataView(label.buffer, label.byteOffset);
  const at = (index: number): number => view.getInt32(index * Int32Array.BYTES_PER_ELEMENT, true);
  return { format: at(0), dtype: at(1), shape: [at(2), at(3), at(4), at(5)] };
}
