import type { HalfRows } from "../../core/index.ts";
import { int8Bytes } from "./int8-groups.ts";

/**
 * The front of a chunk in its 8-bit form. All numbers are little-endian.
 *
 *      0  u32  magic "WKQ8"              8  u32  CRC-32 of all that follows
 *      4  u16  version                  12  u32  bytes of the chunk's header
 *      6  u16  segments                 16  for each segment: u32 bytes, u32 numbers that share a scale
 *
 * Then the chunk's header, then the payload's segments in their order: numbers as `encodeInt8` writes them; where
 * no numbers share a scale, bytes as they are.
 */
export interface Int8Layout {
  readonly segments: readonly Segment[];
  /** Where the chunk's header begins, and its payload. */
  readonly headerAt: number;
  readonly payloadAt: number;
  readonly crc32: number;
}

/** A part of a chunk's payload. */
export interface Segment {
  /** In the chunk. */
  readonly numBytes: number;
  /** Numbers that share a scale, of which there is a whole number; 0: bytes as they are. */
  readonly groupSize: number;
}

const MAGIC = 0x38514b57;
const VERSION = 1;
const CRC_AT = 8;
const SEGMENTS_AT = 16;
const SEGMENT_BYTES = 8;
const MAX_SEGMENTS = 0xffff;
const HALF_BYTES = 2;
/** Heads differ in magnitude, and have 64 numbers or a multiple. Scales then take 1/32 of the bytes that were. */
const MAX_GROUP = 64;
/** Below, scales eat up what is saved. */
const MIN_GROUP = 8;

/** The CRC covers what lies behind it. */
export const INT8_CHECKED_FROM: number = CRC_AT + 4;

/** @returns undefined when there is nothing in these rows to shorten */
export function segmentsOf(
  rows: readonly HalfRows[],
  payloadBytes: number,
): readonly Segment[] | undefined {
  if (payloadBytes % HALF_BYTES !== 0) return undefined;
  const segments: Segment[] = [];
  let at = 0;
  for (const { start, end, rowBytes } of rows) {
    const groupSize = groupSizeOf(rowBytes / HALF_BYTES);
    if (groupSize < MIN_GROUP) continue;
    if (start > at) segments.push({ numBytes: start - at, groupSize: 0 });
    segments.push({ numBytes: end - start, groupSize });
    at = end;
  }
  if (at === 0 || segments.length >= MAX_SEGMENTS) return undefined;
  if (payloadBytes > at) segments.push({ numBytes: payloadBytes - at, groupSize: 0 });
  return segments;
}

/** The most that is a whole part of a row: numbers of different tokens never share a scale. */
function groupSizeOf(numbersOfRow: number): number {
  let size = Math.min(numbersOfRow, MAX_GROUP);
  while (numbersOfRow % size !== 0) size--;
  return size;
}

/** Bytes in the 8-bit form. */
export function encodedBytes({ numBytes, groupSize }: Segment): number {
  return groupSize === 0 ? numBytes : int8Bytes(numBytes / HALF_BYTES, groupSize);
}

export function payloadOffsetOf(segments: readonly Segment[], headerBytes: number): number {
  return SEGMENTS_AT + segments.length * SEGMENT_BYTES + headerBytes;
}

/** @returns where the chunk's header is to be written. `sealInt8` comes last */
export function writeInt8Layout(
  value: Uint8Array,
  segments: readonly Segment[],
  headerBytes: number,
): number {
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  view.setUint32(0, MAGIC, true);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, segments.length, true);
  view.setUint32(12, headerBytes, true);
  let at = SEGMENTS_AT;
  for (const { numBytes, groupSize } of segments) {
    view.setUint32(at, numBytes, true);
    view.setUint32(at + 4, groupSize, true);
    at += SEGMENT_BYTES;
  }
  return at;
}

export function sealInt8(value: Uint8Array, crc32: number): void {
  new DataView(value.buffer, value.byteOffset, value.byteLength).setUint32(CRC_AT, crc32, true);
}

/** @returns undefined for what has no whole layout of this version, or has other bytes behind it than it says */
export function readInt8Layout(value: Uint8Array): Int8Layout | undefined {
  if (value.byteLength < SEGMENTS_AT) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (view.getUint32(0, true) !== MAGIC || view.getUint16(4, true) !== VERSION) return undefined;
  const numSegments = view.getUint16(6, true);
  const headerAt = SEGMENTS_AT + numSegments * SEGMENT_BYTES;
  if (headerAt > value.byteLength) return undefined;
  const segments: Segment[] = [];
  for (let at = SEGMENTS_AT; at < headerAt; at += SEGMENT_BYTES) {
    const segment = { numBytes: view.getUint32(at, true), groupSize: view.getUint32(at + 4, true) };
    if (!isSound(segment)) return undefined;
    segments.push(segment);
  }
  const payloadAt = headerAt + view.getUint32(12, true);
  const numBytes = segments.reduce((sum, segment) => sum + encodedBytes(segment), payloadAt);
  if (numBytes !== value.byteLength) return undefined;
  return { segments, headerAt, payloadAt, crc32: view.getUint32(CRC_AT, true) };
}

function isSound({ numBytes, groupSize }: Segment): boolean {
  if (groupSize === 0) return numBytes % HALF_BYTES === 0;
  const isGroup = groupSize >= MIN_GROUP && groupSize <= MAX_GROUP;
  return isGroup && numBytes % (groupSize * HALF_BYTES) === 0;
}
