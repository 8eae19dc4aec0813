import { createHash } from "node:crypto";
import { ConnectionError } from "./connection-error.ts";

/**
 * struct_pack, the serialization of coro_rpc: a 32-bit hash of the type, then the fields one after another without
 * names. So both ends must agree on every type to the last field; a type here is one value that knows its literal
 * (what is hashed), how to write and how to read.
 *
 * ```
 * u32 hash | u8 meta (only if bit 0 of the hash is set) | literal NUL (only if bit 2 of meta) | fields
 * ```
 * Bits 3 and 4 of meta say in how many bytes every length of the message is written: 1, 2, 4 or 8.
 */
export interface PackType<T> extends WriteType<T>, ReadType<T> {}

export interface WriteType<in T> {
  readonly literal: Uint8Array;
  write(writer: PackWriter, value: T): void;
}

export interface ReadType<out T> {
  readonly literal: Uint8Array;
  read(reader: PackReader): T;
}

const HAS_META = 1;
const META_HAS_LITERAL = 0b100;
const META_HAS_COMPATIBLE = 0b011;

export function pack<T>(type: WriteType<T>, value: T): Buffer {
  const hash = typeHash(type);
  for (const [sizeBits, lengthBytes] of LENGTH_BYTES.entries()) {
    const writer = new PackWriter(lengthBytes);
    writer.uint32(sizeBits === 0 ? hash : (hash | HAS_META) >>> 0);
    if (sizeBits !== 0) writer.uint8(sizeBits << 3);
    type.write(writer, value);
    if (!writer.overflowed) return writer.bytes();
  }
  throw new RangeError("Cannot pack a list of 4 Gi elements or more");
}

/** Whether the bytes say that they are of this type. */
export function isPacked(type: ReadType<unknown>, bytes: Buffer): boolean {
  return bytes.length >= 4 && (bytes.readUInt32LE(0) & ~HAS_META) >>> 0 === typeHash(type);
}

/** @throws ConnectionError where the bytes are not of the type */
export function unpack<T>(type: ReadType<T>, bytes: Buffer): T {
  if (!isPacked(type, bytes)) throw malformed("of another type");
  const reader = new PackReader(bytes);
  if ((reader.uint32() & HAS_META) !== 0) reader.meta();
  const value = type.read(reader);
  reader.end();
  return value;
}

/** First four bytes of the literal's MD5, big-endian, the lowest bit cleared. */
export function typeHash(type: { readonly literal: Uint8Array }): number {
  return (md5Head(type.literal) & ~HAS_META) >>> 0;
}

export function md5Head(bytes: Uint8Array | string): number {
  return createHash("md5").update(bytes).digest().readUInt32BE(0);
}

export function malformed(what: string): ConnectionError {
  return new ConnectionError("protocol", `A struct_pack message that is ${what}`);
}

const LENGTH_BYTES = [1, 2, 4] as const;

export class PackWriter {
  /** A length did not fit its bytes: what was written is void. */
  overflowed = false;
  readonly #lengthBytes: number;
  #buffer: Buffer = Buffer.allocUnsafe(256);
  #end = 0;

  constructor(lengthBytes: number) {
    this.#lengthBytes = lengthBytes;
  }

  length(count: number): void {
    if (count >= 2 ** (8 * this.#lengthBytes)) this.overflowed = true;
    else this.#end = this.#room(this.#lengthBytes).writeUIntLE(count, this.#end, this.#lengthBytes);
  }

  uint8(value: number): void {
    this.#end = this.#room(1).writeUInt8(value, this.#end);
  }

  int32(value: number): void {
    this.#end = this.#room(4).writeInt32LE(value, this.#end);
  }

  uint32(value: number): void {
    this.#end = this.#room(4).writeUInt32LE(value, this.#end);
  }

  uint64(value: bigint): void {
    this.#end = this.#room(8).writeBigUInt64LE(value, this.#end);
  }

  text(value: string): void {
    const byteLength = Buffer.byteLength(value);
    this.length(byteLength);
    this.#end += this.#room(byteLength).write(value, this.#end, "utf8");
  }

  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#end);
  }

  #room(byteLength: number): Buffer {
    const wanted = this.#end + byteLength;
    if (wanted > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.max(wanted, this.#buffer.length * 2));
      this.#buffer.copy(grown, 0, 0, this.#end);
      this.#buffer = grown;
    }
    return this.#buffer;
  }
}

export class PackReader {
  readonly #bytes: Buffer;
  #lengthBytes = 1;
  #offset = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The optional byte behind the hash, and the literal that builds with assertions add. */
  meta(): void {
    const meta = this.uint8();
    if ((meta & META_HAS_COMPATIBLE) !== 0) throw malformed(`marked ${meta}`);
    this.#lengthBytes = 1 << (meta >> 3);
    if (this.#lengthBytes > 8) throw malformed(`marked ${meta}`);
    if ((meta & META_HAS_LITERAL) === 0) return;
    const end = this.#bytes.indexOf(0, this.#offset);
    if (end < 0) throw malformed("without an end");
    this.#offset = end + 1;
  }

  /**
   * @param elementBytes what one element takes at least: a length that cannot be true is refused before it is believed
   */
  length(elementBytes: number): number {
    const at = this.#take(this.#lengthBytes);
    const count =
      this.#lengthBytes === 8
        ? Number(this.#bytes.readBigUInt64LE(at))
        : this.#bytes.readUIntLE(at, this.#lengthBytes);
    if (count * elementBytes > this.#bytes.length - this.#offset) {
      throw malformed(`shorter than its list of ${count}`);
    }
    return count;
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#take(1));
  }

  int32(): number {
    return this.#bytes.readInt32LE(this.#take(4));
  }

  uint32(): number {
    return this.#bytes.readUInt32LE(this.#take(4));
  }

  uint64(): bigint {
    return this.#bytes.readBigUInt64LE(this.#take(8));
  }

  text(): string {
    const byteLength = this.length(1);
    const at = this.#take(byteLength);
    return this.#bytes.toString("utf8", at, at + byteLength);
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) {
      throw malformed("longer than its type");
    }
  }

  #take(byteLength: number): number {
    const at = this.#offset;
    if (byteLength > this.#bytes.length - at) throw malformed("cut short");
    this.#offset += byteLength;
    return at;
  }
}
