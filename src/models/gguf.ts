/**
 * The GGUF file format, version 3: the words. All numbers are little-endian.
 *
 *     "GGUF"  u32 version  u64 number of tensors  u64 number of metadata entries
 *     metadata: key, u32 type, value             (a string is u64 length + UTF-8)
 *     tensors:  name, u32 dimensions, u64 each, u32 type, u64 offset in the data
 *     zeros up to the alignment, then the data
 */
export const GGUF_MAGIC = 0x46554747;
export const GGUF_VERSION = 3;
/** Used unless the metadata says otherwise under GGUF_ALIGNMENT_KEY. */
export const GGUF_ALIGNMENT = 32;
export const GGUF_ALIGNMENT_KEY = "general.alignment";

/** A type's place in this list is its number in the file. */
export const GGUF_VALUE_TYPES = [
  "uint8",
  "int8",
  "uint16",
  "int16",
  "uint32",
  "int32",
  "float32",
  "bool",
  "string",
  "array",
  "uint64",
  "int64",
  "float64",
] as const;

export type GgufElementType = Exclude<(typeof GGUF_VALUE_TYPES)[number], "array">;

/** What a value of each type is in JavaScript: 64-bit integers are bigints. */
type ElementOf<Type extends GgufElementType> = Type extends "string"
  ? string
  : Type extends "bool"
    ? boolean
    : Type extends "uint64" | "int64"
      ? bigint
      : number;

type ScalarValue = {
  [Type in GgufElementType]: { readonly type: Type; readonly value: ElementOf<Type> };
}[GgufElementType];

type ArrayValue = {
  [Type in GgufElementType]: {
    readonly type: "array";
    readonly elementType: Type;
    readonly value: readonly ElementOf<Type>[];
  };
}[GgufElementType];

export type GgufElement = string | boolean | bigint | number;
export type GgufValue = ScalarValue | ArrayValue;
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface GgufTensor {
  readonly name: string;
  /** Innermost dimension first: a matrix of 10 rows and 4 columns is [4, 10]. */
  readonly shape: readonly number[];
  readonly type: GgufTensorType;
}

export interface GgufTensorInfo extends Omit<GgufTensor, "type"> {
  /** The type's number in the file. */
  readonly typeId: number;
  /** Undefined for a type that this version does not know. */
  readonly byteLength: number | undefined;
  /** From the start of the data. */
  readonly offset: number;
}

export interface GgufHeader {
  readonly version: number;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly GgufTensorInfo[];
  /** Bytes of everything in front of the padding. */
  readonly headerBytes: number;
  /** Where the data starts in the file. */
  readonly dataOffset: number;
}

/** Weights come in blocks: so many numbers in so many bytes; the id stands in the file. */
export const GGUF_TENSOR_TYPES = {
  F32: { id: 0, blockSize: 1, blockBytes: 4 },
  F16: { id: 1, blockSize: 1, blockBytes: 2 },
  Q4_0: { id: 2, blockSize: 32, blockBytes: 18 },
  Q4_1: { id: 3, blockSize: 32, blockBytes: 20 },
  Q5_0: { id: 6, blockSize: 32, blockBytes: 22 },
  Q5_1: { id: 7, blockSize: 32, blockBytes: 24 },
  Q8_0: { id: 8, blockSize: 32, blockBytes: 34 },
  Q8_1: { id: 9, blockSize: 32, blockBytes: 36 },
  Q2_K: { id: 10, blockSize: 256, blockBytes: 84 },
  Q3_K: { id: 11, blockSize: 256, blockBytes: 110 },
  Q4_K: { id: 12, blockSize: 256, blockBytes: 144 },
  Q5_K: { id: 13, blockSize: 256, blockBytes: 176 },
  Q6_K: { id: 14, blockSize: 256, blockBytes: 210 },
  Q8_K: { id: 15, blockSize: 256, blockBytes: 292 },
  IQ2_XXS: { id: 16, blockSize: 256, blockBytes: 66 },
  IQ2_XS: { id: 17, blockSize: 256, blockBytes: 74 },
  IQ3_XXS: { id: 18, blockSize: 256, blockBytes: 98 },
  IQ1_S: { id: 19, blockSize: 256, blockBytes: 50 },
  IQ4_NL: { id: 20, blockSize: 32, blockBytes: 18 },
  IQ3_S: { id: 21, blockSize: 256, blockBytes: 110 },
  IQ2_S: { id: 22, blockSize: 256, blockBytes: 82 },
  IQ4_XS: { id: 23, blockSize: 256, blockBytes: 136 },
  I8: { id: 24, blockSize: 1, blockBytes: 1 },
  I16: { id: 25, blockSize: 1, blockBytes: 2 },
  I32: { id: 26, blockSize: 1, blockBytes: 4 },
  I64: { id: 27, blockSize: 1, blockBytes: 8 },
  F64: { id: 28, blockSize: 1, blockBytes: 8 },
  IQ1_M: { id: 29, blockSize: 256, blockBytes: 56 },
  BF16: { id: 30, blockSize: 1, blockBytes: 2 },
  TQ1_0: { id: 34, blockSize: 256, blockBytes: 54 },
  TQ2_0: { id: 35, blockSize: 256, blockBytes: 66 },
  MXFP4: { id: 39, blockSize: 32, blockBytes: 17 },
  NVFP4: { id: 40, blockSize: 64, blockBytes: 36 },
  Q1_0: { id: 41, blockSize: 128, blockBytes: 18 },
  Q2_0: { id: 42, blockSize: 64, blockBytes: 18 },
} as const;

export type GgufTensorType = keyof typeof GGUF_TENSOR_TYPES;

const NAME_OF_TENSOR_TYPE = new Map<number, GgufTensorType>(
  Object.entries(GGUF_TENSOR_TYPES).map(([name, { id }]) => [id, name as GgufTensorType]),
);

/** @returns undefined for a number that this version does not know */
export function tensorTypeOf(typeId: number): GgufTensorType | undefined {
  return NAME_OF_TENSOR_TYPE.get(typeId);
}

export function numElementsOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

export function tensorBytes(type: GgufTensorType, shape: readonly number[]): number {
  const { blockSize, blockBytes } = GGUF_TENSOR_TYPES[type];
  return (numElementsOf(shape) / blockSize) * blockBytes;
}
