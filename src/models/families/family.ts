import type { GgufTensorSource } from "../gguf-writer.ts";
import type { GgufTensor, GgufValue } from "../gguf.ts";

/** The numbers that a family makes its tensors of. */
export interface FamilyShape {
  /** A multiple of 128. */
  readonly width: number;
  readonly numLayers: number;
  /** Of one expert, where there are experts. */
  readonly feedForwardLength: number;
}

/** Makes the numbers of a tensor. */
export type Fill = (tensor: Omit<GgufTensor, "type">, seed: number) => GgufTensorSource;

/** The name is what follows "blk.N." for a tensor of a layer; innermost dimension first. */
export type TensorRow = readonly [name: string, shape: readonly number[], fill: Fill];

/** The key is what follows the architecture. */
export type MetadataRow = readonly [key: string, value: GgufValue];

/** One kind of model that llama.cpp runs: what its files hold. */
export interface SynthFamily {
  /** As in general.architecture. */
  readonly architecture: string;
  /** Layers that differ repeat in groups of so many; a model has whole groups. */
  readonly layersPerGroup: number;
  /** What a converter of real models of this family writes and llama.cpp wants. */
  metadata(shape: FamilyShape): MetadataRow[];
  layer(index: number, shape: FamilyShape): TensorRow[];
  /** Of no layer: embedding, last norm, output. */
  outer(shape: FamilyShape): TensorRow[];
}

export const HEAD_LENGTH = 64;

export function numHeadsOf({ width }: FamilyShape): number {
  return width / HEAD_LENGTH;
}

/** Two query heads share a KV head. */
export function numKvHeadsOf({ width }: FamilyShape): number {
  return width / HEAD_LENGTH / 2;
}

/** The last of each group attends to all positions; the others are of the cheaper kind. */
export function isLastOfGroup(layer: number, layersPerGroup: number): boolean {
  return (layer + 1) % layersPerGroup === 0;
}
