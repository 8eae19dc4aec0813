import { setImmediate as nextTurn } from "node:timers/promises";
import { crc32 } from "node:zlib";
import type { HalfRows } from "../../core/index.ts";
import type { KvBuffer, MemoryPool } from "../../memory/index.ts";
import { readChunkHeader, sealChunk } from "../chunk-file.ts";
import type { ChunkSerde } from "./chunk-serde.ts";
import { decodeInt8, encodeInt8 } from "./int8-groups.ts";
import {
  INT8_CHECKED_FROM,
  type Segment,
  encodedBytes,
  payloadOffsetOf,
  readInt8Layout,
  sealInt8,
  segmentsOf,
  writeInt8Layout,
} from "./int8-layout.ts";

/** A millisecond or two; then others have their turn. */
const BYTES_PER_TURN = 1 << 20;

export interface Int8SerdeOptions {
  readonly pool: MemoryPool;
  /** Where a payload of KV holds half-precision numbers; undefined: nowhere that is known. */
  readonly findRows: (payload: Uint8Array) => readonly HalfRows[] | undefined;
}

/**
 * Half-precision numbers in 8 bits, with a scale for each group of them: half the bytes, and no longer the same
 * numbers. What is decoded is sealed anew, as a chunk like any other: whoever uses this form must give all its
 * chunks a fingerprint of their own, so that nobody else takes them for exact.
 *
 * A chunk in which nothing can be shortened is stored as it is. Works in the pool's memory only: a value is decoded in
 * the slab that it was read into, from its end to its front.
 */
export class Int8Serde implements ChunkSerde {
  readonly format: string = "warmkv-int8";
  readonly #options: Int8SerdeOptions;

  constructor(options: Int8SerdeOptions) {
    this.#options = options;
  }

  async encode(chunk: KvBuffer): Promise<KvBuffer | undefined> {
    const { pool, findRows } = this.#options;
    const { bytes } = chunk;
    const header = readChunkHeader(bytes);
    const isKv = header?.kind === "tokens";
    const rows = isKv ? findRows(bytes.subarray(header.headerBytes)) : undefined;
    if (header === undefined || rows === undefined) return chunk.retain();
    const { headerBytes, payloadBytes } = header;
    const segments = segmentsOf(rows, payloadBytes);
    if (segments === undefined) return chunk.retain();
    const payloadAt = payloadOffsetOf(segments, headerBytes);
    const numBytes = segments.reduce((sum, segment) => sum + encodedBytes(segment), payloadAt);
    if (numBytes >= bytes.byteLength) return chunk.retain();

    const target = pool.tryAllocate(numBytes);
    if (target === undefined) return undefined;
    const value = target.bytes;
    value.set(bytes.subarray(0, headerBytes), writeInt8Layout(value, segments, headerBytes));
    let from = headerBytes;
    let to = payloadAt;
    for await (const piece of piecesOf(segments)) {
      const end = to + encodedBytes(piece);
      if (
        !encodePiece(bytes.subarray(from, from + piece.numBytes), piece, value.subarray(to, end))
      ) {
        target[Symbol.dispose]();
        return chunk.retain();
      }
      from += piece.numBytes;
      to = end;
    }
    sealInt8(value, crc32(value.subarray(INT8_CHECKED_FROM)));
    return target;
  }

  place(slab: Uint8Array, byteLength: number): Uint8Array {
    return slab.subarray(slab.byteLength - byteLength);
  }

  async decode(buffer: KvBuffer, byteLength: number): Promise<boolean> {
    const slab = buffer.capacity;
    const value = this.place(slab, byteLength);
    if (readChunkHeader(value) !== undefined) {
      slab.set(value);
      buffer.resize(byteLength);
      return true;
    }
    const layout = readInt8Layout(value);
    if (layout === undefined) return false;
    const { segments, headerAt, payloadAt } = layout;
    if (crc32(value.subarray(INT8_CHECKED_FROM)) !== layout.crc32) return false;
    // A copy: it lies where the payload will be.
    const header = readChunkHeader(Uint8Array.from(value.subarray(headerAt, payloadAt)));
    const headerBytes = payloadAt - headerAt;
    const numBytes = segments.reduce((sum, segment) => sum + segment.numBytes, headerBytes);
    if (header?.headerBytes !== headerBytes || numBytes > slab.byteLength) return false;

    let from = payloadAt;
    let to = headerBytes;
    for await (const piece of piecesOf(segments)) {
      const end = from + encodedBytes(piece);
      if (!decodePiece(value.subarray(from, end), piece, slab.subarray(to, to + piece.numBytes)))
        return false;
      from = end;
      to += piece.numBytes;
    }
    buffer.resize(numBytes);
    sealChunk(buffer.bytes, header);
    buffer.markChecked();
    return true;
  }
}

/** The segments, in no larger pieces than are done in one turn, each in its turn. */
async function* piecesOf(segments: readonly Segment[]): AsyncGenerator<Segment, void, undefined> {
  let turnBytes = 0;
  for (const { numBytes, groupSize } of segments) {
    const mostBytes = BYTES_PER_TURN - (BYTES_PER_TURN % Math.max(1, 2 * groupSize));
    for (let at = 0; at < numBytes; at += mostBytes) {
      const piece = { numBytes: Math.min(mostBytes, numBytes - at), groupSize };
      turnBytes += piece.numBytes;
      yield piece;
      if (turnBytes < BYTES_PER_TURN) continue;
      await nextTurn();
      turnBytes = 0;
    }
  }
}

function encodePiece(source: Uint8Array, { groupSize }: Segment, target: Uint8Array): boolean {
  if (groupSize > 0) return encodeInt8(halvesOf(source), groupSize, target);
  target.set(source);
  return true;
}

function decodePiece(source: Uint8Array, { groupSize }: Segment, target: Uint8Array): boolean {
  if (groupSize > 0) return decodeInt8(source, groupSize, halvesOf(target));
  target.set(source);
  return true;
}

function halvesOf({ buffer, byteOffset, byteLength }: Uint8Array): Uint16Array {
  return new Uint16Array(buffer, byteOffset, byteLength / 2);
}
