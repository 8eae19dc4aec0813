import { MiB } from "../../core/index.ts";

/**
 * How a value lies in Redis:
 *
 *     {warmkv:NAME}      16 bytes of header, then the first stripe
 *     {warmkv:NAME}:1    the second stripe, and so on
 *     {warmkv:NAME}:claim   who is making it, while somebody is
 *
 * The first key is written last, so a value that has it was whole. The braces put all its keys in one slot of a
 * cluster. Every stripe but the last is `stripeBytes` long.
 *
 *     header: "WKV1", u32 stripeBytes, u64 length of the value; little-endian
 */
export interface ValueHeader {
  readonly stripeBytes: number;
  readonly byteLength: number;
}

export const HEADER_BYTES = 16;

/**
 * Values beyond 4 MiB are several times slower. A little less, because Redis' allocator would round 4 MiB and its
 * own header up to 5 MiB.
 */
export const STRIPE_BYTES: number = 4 * MiB - 256;

const MAGIC = Buffer.from("WKV1");

export function headKey(name: string): string {
  return `{warmkv:${name}}`;
}

/** The keys behind the first one. */
export function stripeKeys(name: string, header: ValueHeader): string[] {
  return Array.from(
    { length: numStripes(header) - 1 },
    (_, index) => `${headKey(name)}:${index + 1}`,
  );
}

/** Who is making the value: in the same slot, beside its keys. */
export function claimKey(name: string): string {
  return `${headKey(name)}:claim`;
}

/** The value's bytes under each of its keys. */
export function stripes(value: Uint8Array, header: ValueHeader): Uint8Array[] {
  return Array.from({ length: numStripes(header) }, (_, index) =>
    value.subarray(index * header.stripeBytes, (index + 1) * header.stripeBytes),
  );
}

export function encodeHeader(header: ValueHeader): Uint8Array {
  const bytes = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(header.stripeBytes, 4);
  bytes.writeBigUInt64LE(BigInt(header.byteLength), 8);
  return bytes;
}

/** @returns undefined when that is no header of ours */
export function decodeHeader(bytes: Buffer): ValueHeader | undefined {
  if (bytes.byteLength < HEADER_BYTES || !bytes.subarray(0, MAGIC.byteLength).equals(MAGIC)) {
    return undefined;
  }
  const stripeBytes = bytes.readUInt32LE(4);
  const byteLength = Number(bytes.readBigUInt64LE(8));
  const isSane = stripeBytes > 0 && byteLength <= stripeBytes * MAX_STRIPES;
  return isSane ? { stripeBytes, byteLength } : undefined;
}

/** 256 GiB in stripes of ours: what a damaged header may ask for at most. */
const MAX_STRIPES = 65_536;

function numStripes({ stripeBytes, byteLength }: ValueHeader): number {
  return Math.max(1, Math.ceil(byteLength / stripeBytes));
}
