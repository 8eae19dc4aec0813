import { ConnectionError } from "./connection-error.ts";

/**
 * FlatBuffers, as much as InfiniStore needs: one table of scalars, strings and lists of strings. Everything is
 * little-endian and aligned to four bytes; an offset counts from where it stands.
 * ```
 * root: u32 -> table
 * vtable: u16 own bytes | u16 table's bytes | u16 per field: where in the table, 0 if absent
 * table: i32 back to the vtable | per field: the scalar, or u32 -> string or list
 * string: u32 bytes | UTF-8 | NUL          list: u32 count | u32 -> string, each
 * ```
 */
export type FlatField =
  | { readonly int8: number }
  | { readonly int32: number }
  | { readonly text: string }
  | { readonly texts: readonly string[] };

export function encodeFlatTable(fields: readonly FlatField[]): Buffer {
  const vtableBytes = 4 + 2 * fields.length;
  const tableAt = align(4 + vtableBytes);
  const vtableAt = tableAt - vtableBytes;
  const tableBytes = 4 + 4 * fields.length;
  const head = Buffer.alloc(tableAt + tableBytes);
  head.writeUInt32LE(tableAt, 0);
  head.writeUInt16LE(vtableBytes, vtableAt);
  head.writeUInt16LE(tableBytes, vtableAt + 2);
  head.writeInt32LE(tableAt - vtableAt, tableAt);
  const parts: Buffer[] = [head];
  let end = head.length;
  for (const [index, field] of fields.entries()) {
    const at = tableAt + 4 + 4 * index;
    head.writeUInt16LE(at - tableAt, vtableAt + 4 + 2 * index);
    if ("int8" in field) head.writeInt8(field.int8, at);
    else if ("int32" in field) head.writeInt32LE(field.int32, at);
    else {
      head.writeUInt32LE(end - at, at);
      const part = "text" in field ? encodeText(field.text) : encodeTexts(field.texts);
      parts.push(part);
      end += part.length;
    }
  }
  return Buffer.concat(parts);
}

function encodeText(text: string): Buffer {
  const byteLength = Buffer.byteLength(text);
  const part = Buffer.alloc(align(4 + byteLength + 1));
  part.writeUInt32LE(byteLength, 0);
  part.write(text, 4, "utf8");
  return part;
}

function encodeTexts(texts: readonly string[]): Buffer {
  const head = Buffer.alloc(4 + 4 * texts.length);
  head.writeUInt32LE(texts.length, 0);
  const parts: Buffer[] = [head];
  let end = head.length;
  for (const [index, text] of texts.entries()) {
    const at = 4 + 4 * index;
    head.writeUInt32LE(end - at, at);
    const part = encodeText(text);
    parts.push(part);
    end += part.length;
  }
  return Buffer.concat(parts);
}

/** Reads a table that somebody else built; nothing in it is believed before it was found to lie within the bytes. */
export class FlatTable {
  readonly #bytes: Buffer;
  readonly #tableAt: number;
  readonly #vtableAt: number;
  readonly #vtableBytes: number;
  /** A few bytes could point at the same long text again and again. */
  #textBytesLeft: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#textBytesLeft = bytes.length;
    this.#tableAt = this.#uint32(0);
    this.#vtableAt = this.#tableAt - this.#check(this.#tableAt, 4).readInt32LE(this.#tableAt);
    this.#vtableBytes = this.#uint16(this.#vtableAt);
    this.#check(this.#vtableAt, Math.max(4, this.#vtableBytes));
  }

  int8(index: number): number {
    const at = this.#field(index);
    return at === undefined ? 0 : this.#check(at, 1).readInt8(at);
  }

  int32(index: number): number {
    const at = this.#field(index);
    return at === undefined ? 0 : this.#check(at, 4).readInt32LE(at);
  }

  text(index: number): string {
    const at = this.#field(index);
    return at === undefined ? "" : this.#text(at);
  }

  texts(index: number): string[] {
    const field = this.#field(index);
    if (field === undefined) return [];
    const at = field + this.#uint32(field);
    const count = this.#uint32(at);
    this.#check(at + 4, 4 * count);
    return Array.from({ length: count }, (_, nth) => this.#text(at + 4 + 4 * nth));
  }

  #text(offsetAt: number): string {
    const at = offsetAt + this.#uint32(offsetAt);
    const byteLength = this.#uint32(at);
    this.#textBytesLeft -= byteLength + 1;
    if (this.#textBytesLeft < 0) throw outside();
    return this.#check(at + 4, byteLength).toString("utf8", at + 4, at + 4 + byteLength);
  }

  #field(index: number): number | undefined {
    const at = 4 + 2 * index;
    if (at + 2 > this.#vtableBytes) return undefined;
    const offset = this.#uint16(this.#vtableAt + at);
    return offset === 0 ? undefined : this.#tableAt + offset;
  }

  #uint16(at: number): number {
    return this.#check(at, 2).readUInt16LE(at);
  }

  #uint32(at: number): number {
    return this.#check(at, 4).readUInt32LE(at);
  }

  #check(at: number, byteLength: number): Buffer {
    if (at < 0 || at + byteLength > this.#bytes.length) throw outside();
    return this.#bytes;
  }
}

function outside(): ConnectionError {
  return new ConnectionError("protocol", "A FlatBuffer that points outside itself");
}

function align(byteLength: number): number {
  return (byteLength + 3) & ~3;
}
