import type { GgufValue } from "../gguf.ts";
import {
  HEAD_LENGTH,
  numHeadsOf,
  numKvHeadsOf,
  type FamilyShape,
  type MetadataRow,
} from "./family.ts";

const CONTEXT_LENGTH = 131_072;
const ROPE_BASE = 500_000;
const NORM_EPSILON = 1e-5;

export function count(value: number): GgufValue {
  return { type: "uint32", value };
}

export function counts(value: readonly number[]): GgufValue {
  return { type: "array", elementType: "uint32", value };
}

export function signedCounts(value: readonly number[]): GgufValue {
  return { type: "array", elementType: "int32", value };
}

export function wideCounts(value: readonly number[]): GgufValue {
  return { type: "array", elementType: "uint64", value: value.map(BigInt) };
}

export function flags(value: readonly boolean[]): GgufValue {
  return { type: "array", elementType: "bool", value };
}

export function flag(value: boolean): GgufValue {
  return { type: "bool", value };
}

export function float(value: number): GgufValue {
  return { type: "float32", value };
}

export function floats(value: readonly number[]): GgufValue {
  return { type: "array", elementType: "float32", value };
}

/** One number for each layer. */
export function perLayer(shape: FamilyShape, valueAt: (layer: number) => number): GgufValue {
  return signedCounts(Array.from({ length: shape.numLayers }, (_, layer) => valueAt(layer)));
}

/** What every family has. */
export function commonMetadata({ width, numLayers }: FamilyShape): MetadataRow[] {
  return [
    ["context_length", count(CONTEXT_LENGTH)],
    ["embedding_length", count(width)],
    ["block_count", count(numLayers)],
  ];
}

export function rmsNormMetadata(): MetadataRow[] {
  return [["attention.layer_norm_rms_epsilon", float(NORM_EPSILON)]];
}

export function layerNormMetadata(): MetadataRow[] {
  return [["attention.layer_norm_epsilon", float(NORM_EPSILON)]];
}

/** A transformer with grouped queries and rotary positions. */
export function transformerMetadata(shape: FamilyShape): MetadataRow[] {
  return [
    ...commonMetadata(shape),
    ["feed_forward_length", count(shape.feedForwardLength)],
    ["attention.head_count", count(numHeadsOf(shape))],
    ["attention.head_count_kv", count(numKvHeadsOf(shape))],
    ["attention.key_length", count(HEAD_LENGTH)],
    ["attention.value_length", count(HEAD_LENGTH)],
    ["rope.dimension_count", count(HEAD_LENGTH)],
    ["rope.freq_base", float(ROPE_BASE)],
  ];
}
