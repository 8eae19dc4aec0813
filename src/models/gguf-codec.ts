import { alignUp } from "../core/index.ts";
import {
  GGUF_ALIGNMENT,
  GGUF_ALIGNMENT_KEY,
  GGUF_MAGIC,
  GGUF_TENSOR_TYPES,
  GGUF_VALUE_TYPES,
  GGUF_VERSION,
  numElementsOf,
  tensorBytes,
  tensorTypeOf,
  type GgufElement,
  type GgufElementType,
  type GgufHeader,
  type GgufMetadata,
  type GgufTensor,
  type GgufTensorInfo,
  type GgufValue,
} from "./gguf.ts";

/** The bytes are not GGUF. The message goes behind "Cannot read FILE as a GGUF model: it ". */
export class GgufFormatError extends Error {
  override readonly name = "GgufFormatError";
}

/** Thrown inside the decoder, when the file goes on behind the bytes at hand. */
class NeedMoreBytes extends Error {}

// Far beyond every model, and small enough that garbage cannot make us allocate for it.
const MAX_METADATA_ENTRIES = 65_536;
const MAX_TENSORS = 1_048_576;
const MAX_KEY_BYTES = 65_535;
/** llama.cpp stops at the same length. */
const MAX_TENSOR_NAME_BYTES = 63;
const MAX_DIMENSIONS = 4;
/** Version 1 had other lengths; version 2 reads like version 3. */
const OLDEST_VERSION = 2;

type FixedType = Exclude<GgufElementType, "string">;

/** Bytes of one element, and what DataView calls it; a bool is a byte. */
const FIXED: Record<FixedType, readonly [byteLength: number, name: DataViewName]> = {
  uint8: [1, "Uint8"],
  int8: [1, "Int8"],
  uint16: [2, "Uint16"],
  int16: [2, "Int16"],
  uint32: [4, "Uint32"],
  int32: [4, "Int32"],
  float32: [4, "Float32"],
  bool: [1, "Uint8"],
  uint64: [8, "BigUint64"],
  int64: [8, "BigInt64"],
  float64: [8, "Float64"],
};

type DataViewName = {
  [Method in keyof DataView]: Method extends `get${infer Name}` ? Name : never;
}[keyof DataView];

/** The header with its padding: exactly the bytes in front of the data, tensors packed in order. */
export function encodeGgufHeader(
  metadata: GgufMetadata,
  tensors: readonly GgufTensor[],
): Uint8Array {
  const parts: Uint8Array[] = [];
  const number = (type: FixedType, value: GgufElement): void => {
    const [byteLength, name] = FIXED[type];
    const view = new DataView(new ArrayBuffer(byteLength));
    view[`set${name}`](0, (type === "bool" ? Number(value) : value) as never, true);
    parts.push(new Uint8Array(view.buffer));
  };
  const string = (text: string): void => {
    const bytes = Buffer.from(text, "utf8");
    number("uint64", BigInt(bytes.byteLength));
    parts.push(bytes);
  };
  const element = (type: GgufElementType, value: GgufElement): void =>
    type === "string" ? string(value as string) : number(type, value);

  number("uint32", GGUF_MAGIC);
  number("uint32", GGUF_VERSION);
  number("uint64", BigInt(tensors.length));
  number("uint64", BigInt(metadata.size));
  for (const [key, value] of metadata) {
    string(key);
    number("uint32", GGUF_VALUE_TYPES.indexOf(value.type));
    if (value.type === "array") {
      number("uint32", GGUF_VALUE_TYPES.indexOf(value.elementType));
      number("uint64", BigInt(value.value.length));
      for (const item of value.value) element(value.elementType, item);
    } else {
      element(value.type, value.value);
    }
  }
  const alignment = alignmentOf(metadata);
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    string(name);
    number("uint32", shape.length);
    for (const size of shape) number("uint64", BigInt(size));
    number("uint32", GGUF_TENSOR_TYPES[type].id);
    number("uint64", BigInt(offset));
    offset = alignUp(offset + tensorBytes(type, shape), alignment);
  }
  const bytes = Buffer.concat(parts);
  return Buffer.concat([bytes], alignUp(bytes.byteLength, alignment));
}

/**
 * Reads a header from the first bytes of a file.
 *
 * @param fileBytes the file's length: nothing may claim to be longer
 * @returns undefined when the header goes on behind `bytes`
 * @throws GgufFormatError for anything else than a header
 */
export function decodeGgufHeader(bytes: Uint8Array, fileBytes: number): GgufHeader | undefined {
  try {
    return new Decoder(bytes, fileBytes).header();
  } catch (error) {
    if (error instanceof NeedMoreBytes) return undefined;
    throw error;
  }
}

class Decoder {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #fileBytes: number;
  #at = 0;

  constructor(bytes: Uint8Array, fileBytes: number) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#fileBytes = fileBytes;
  }

  header(): GgufHeader {
    if (this.#fileBytes < 4 || this.#uint32() !== GGUF_MAGIC) {
      throw new GgufFormatError('does not start with "GGUF"');
    }
    const version = this.#uint32();
    if (version < OLDEST_VERSION || version > GGUF_VERSION) {
      throw new GgufFormatError(
        `has version ${version}, wanted ${OLDEST_VERSION} or ${GGUF_VERSION}`,
      );
    }
    const numTensors = this.#count("tensors", MAX_TENSORS);
    const numEntries = this.#count("metadata entries", MAX_METADATA_ENTRIES);
    const metadata = new Map<string, GgufValue>();
    for (let i = 0; i < numEntries; i++) {
      const key = this.#string("metadata key", MAX_KEY_BYTES);
      if (metadata.has(key)) throw new GgufFormatError(`has the metadata key "${key}" twice`);
      metadata.set(key, this.#value(key));
    }
    const tensors = Array.from({ length: numTensors }, () => this.#tensor());
    const alignment = alignmentOf(metadata);
    const headerBytes = this.#at;
    return {
      version,
      metadata,
      tensors,
      headerBytes,
      dataOffset: alignUp(headerBytes, alignment),
    };
  }

  #value(key: string): GgufValue {
    const type = this.#valueType(key);
    if (type !== "array") return { type, value: this.#element(type) } as GgufValue;
    const elementType = this.#valueType(key);
    if (elementType === "array") throw new GgufFormatError(`has an array in an array at "${key}"`);
    const elementBytes = elementType === "string" ? 8 : FIXED[elementType][0];
    const length = this.#count(`elements of "${key}"`, Math.floor(this.#fileBytes / elementBytes));
    this.#require(length * elementBytes);
    const value = Array.from({ length }, () => this.#element(elementType));
    return { type, elementType, value } as GgufValue;
  }

  #valueType(key: string): (typeof GGUF_VALUE_TYPES)[number] {
    const id = this.#uint32();
    const type = GGUF_VALUE_TYPES[id];
    if (type === undefined) throw new GgufFormatError(`has the unknown type ${id} at "${key}"`);
    return type;
  }

  #tensor(): GgufTensorInfo {
    const name = this.#string("tensor name", MAX_TENSOR_NAME_BYTES);
    const numDimensions = this.#uint32();
    if (numDimensions > MAX_DIMENSIONS) {
      throw new GgufFormatError(`has ${numDimensions} dimensions at tensor "${name}"`);
    }
    const shape = Array.from({ length: numDimensions }, () =>
      this.#count(`numbers in tensor "${name}"`, Number.MAX_SAFE_INTEGER),
    );
    if (!Number.isSafeInteger(numElementsOf(shape))) {
      throw new GgufFormatError(
        `has the impossible shape ${shape.join(" x ")} at tensor "${name}"`,
      );
    }
    const typeId = this.#uint32();
    const offset = this.#count(`bytes in front of tensor "${name}"`, this.#fileBytes);
    const type = tensorTypeOf(typeId);
    if (type !== undefined && (shape[0] ?? 1) % GGUF_TENSOR_TYPES[type].blockSize !== 0) {
      throw new GgufFormatError(`has rows of ${shape[0]} in type ${type} at tensor "${name}"`);
    }
    const byteLength = type === undefined ? undefined : tensorBytes(type, shape);
    return { name, shape, typeId, byteLength, offset };
  }

  #count(what: string, max: number): number {
    this.#require(8);
    // Two halves: a bigint for each of half a million strings would take longer than all the rest.
    const low = this.#view.getUint32(this.#at, true);
    const count = this.#view.getUint32(this.#at + 4, true) * 2 ** 32 + low;
    this.#at += 8;
    if (count > max) throw new GgufFormatError(`claims to have ${count} ${what}`);
    return count;
  }

  #string(what: string, maxBytes: number): string {
    const length = this.#count(`bytes in a ${what}`, maxBytes);
    this.#require(length);
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }

  #element(type: GgufElementType): GgufElement {
    if (type === "string") return this.#string("string", this.#fileBytes);
    const [byteLength, name] = FIXED[type];
    this.#require(byteLength);
    this.#at += byteLength;
    const value = this.#view[`get${name}`](this.#at - byteLength, true);
    return type === "bool" ? value !== 0 : value;
  }

  #uint32(): number {
    return this.#element("uint32") as number;
  }

  #require(numBytes: number): void {
    if (this.#at + numBytes > this.#fileBytes) {
      throw new GgufFormatError("ends in the middle of its header");
    }
    if (this.#at + numBytes > this.#bytes.byteLength) throw new NeedMoreBytes();
  }
}

export function alignmentOf(metadata: GgufMetadata): number {
  const value = metadata.get(GGUF_ALIGNMENT_KEY);
  if (value === undefined) return GGUF_ALIGNMENT;
  if (value.type !== "uint32" || value.value === 0 || (value.value & (value.value - 1)) !== 0) {
    throw new GgufFormatError(`has the alignment ${String(value.value)}, wanted a power of two`);
  }
  return value.value;
}
