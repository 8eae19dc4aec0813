import { crc32 } from "node:zlib";
import { alignUp, type ChunkKey, type ChunkKind } from "../core/index.ts";
import { PAGE_BYTES } from "../memory/index.ts";

/**
 * The form of a chunk in a slab, in a file and in a remote store: one header, then the payload.
 * All numbers are little-endian.
 *
 *      0  u32  magic "WKVC"           24  16 B  key
 *      4  u16  version                40  16 B  parent key, zeros for none
 *      6  u8   kind                   56  16 B  fingerprint of the model
 *      8  u32  header bytes           72  u32   first position
 *     12  u32  CRC-32 of the payload  76  u32   position behind the last
 *     16  u64  payload bytes          80  u32   label bytes
 *                                     92  u32   CRC-32 of the header without this field
 *     96  label: the token ids (int32 each), or the name another engine gave the value
 *     ..  zeros up to a whole page; then the payload
 */
export interface ChunkHeader {
  readonly kind: ChunkKind;
  readonly key: ChunkKey;
  readonly parent: ChunkKey | undefined;
  /** 32 hex digits; zeros for opaque values. */
  readonly fingerprint: string;
  /** Positions [start, end) of the tokens; for a state part, the boundary is `end`. */
  readonly start: number;
  readonly end: number;
  /** Bytes of the token ids, or of an opaque value's name. */
  readonly label: Uint8Array;
  readonly payloadBytes: number;
  readonly payloadCrc32: number;
  readonly headerBytes: number;
}

const MAGIC = 0x43564b57;
const VERSION = 1;
const LABEL_AT = 96;
const HEADER_CRC_AT = 92;
const PAYLOAD_CRC_AT = 12;
const KINDS: readonly ChunkKind[] = ["tokens", "state", "opaque"];

/** Room that a header with a label of this many bytes takes: whole pages, so that payloads stay aligned. */
export function chunkHeaderBytes(labelBytes: number): number {
  return alignUp(LABEL_AT + labelBytes, PAGE_BYTES);
}

/**
 * Writes the header in front of a payload that is already in place at `chunkHeaderBytes(label)`.
 * Computes the checksum: the one pass over the payload between engine and tiers.
 *
 * @param chunk header and payload, exactly
 */
export function sealChunk(
  chunk: Uint8Array,
  header: Omit<ChunkHeader, "payloadBytes" | "payloadCrc32" | "headerBytes">,
): void {
  const headerBytes = chunkHeaderBytes(header.label.byteLength);
  const view = Buffer.from(chunk.buffer, chunk.byteOffset, headerBytes);
  view.fill(0);
  view.writeUInt32LE(MAGIC, 0);
  view.writeUInt16LE(VERSION, 4);
  view.writeUInt8(KINDS.indexOf(header.kind) + 1, 6);
  view.writeUInt32LE(headerBytes, 8);
  view.writeUInt32LE(crc32(chunk.subarray(headerBytes)), PAYLOAD_CRC_AT);
  view.writeBigUInt64LE(BigInt(chunk.byteLength - headerBytes), 16);
  view.write(header.key, 24, "hex");
  if (header.parent !== undefined) view.write(header.parent, 40, "hex");
  view.write(header.fingerprint, 56, "hex");
  view.writeUInt32LE(header.start, 72);
  view.writeUInt32LE(header.end, 76);
  view.writeUInt32LE(header.label.byteLength, 80);
  view.set(header.label, LABEL_AT);
  view.writeUInt32LE(headerCrc(view), HEADER_CRC_AT);
}

/**
 * Reads and checks a header. The payload is not looked at: see `isPayloadIntact`.
 *
 * @param chunk at least the header's pages
 * @returns undefined for anything that is not a whole header of this version
 */
export function readChunkHeader(chunk: Uint8Array): ChunkHeader | undefined {
  if (chunk.byteLength < PAGE_BYTES) return undefined;
  const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  if (view.readUInt32LE(0) !== MAGIC || view.readUInt16LE(4) !== VERSION) return undefined;
  const headerBytes = view.readUInt32LE(8);
  const labelBytes = view.readUInt32LE(80);
  if (headerBytes !== chunkHeaderBytes(labelBytes) || headerBytes > chunk.byteLength)
    return undefined;
  if (headerCrc(view.subarray(0, headerBytes)) !== view.readUInt32LE(HEADER_CRC_AT))
    return undefined;
  const kind = KINDS[view.readUInt8(6) - 1];
  if (kind === undefined) return undefined;
  const parent = view.toString("hex", 40, 56);
  return {
    kind,
    key: view.toString("hex", 24, 40) as ChunkKey,
    parent: /^0*$/.test(parent) ? undefined : (parent as ChunkKey),
    fingerprint: view.toString("hex", 56, 72),
    start: view.readUInt32LE(72),
    end: view.readUInt32LE(76),
    label: chunk.subarray(LABEL_AT, LABEL_AT + labelBytes),
    payloadBytes: Number(view.readBigUInt64LE(16)),
    payloadCrc32: view.readUInt32LE(PAYLOAD_CRC_AT),
    headerBytes,
  };
}

/** Whether `chunk` is exactly header and payload, and the payload's bytes are those that were sealed. */
export function isPayloadIntact(chunk: Uint8Array, header: ChunkHeader): boolean {
  if (chunk.byteLength !== header.headerBytes + header.payloadBytes) return false;
  return crc32(chunk.subarray(header.headerBytes)) === header.payloadCrc32;
}

function headerCrc(header: Buffer): number {
  return crc32(header.subarray(HEADER_CRC_AT + 4), crc32(header.subarray(0, HEADER_CRC_AT)));
}
