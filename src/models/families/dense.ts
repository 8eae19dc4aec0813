import { attention, norm } from "./attention.ts";
import { numKvHeadsOf, type SynthFamily } from "./family.ts";
import { expertBias, expertMetadata, experts, feedForward, sharedExpert } from "./feed-forward.ts";
import { constant, matrix } from "./fill.ts";
import {
  count,
  flag,
  float,
  rmsNormMetadata,
  signedCounts,
  transformerMetadata,
} from "./metadata.ts";
import { untied } from "./outer.ts";

/** Pairs of a head that turn with time, height and width: text turns all alike. */
const MULTIMODAL_SECTIONS = [8, 12, 12, 0] as const;

/** Text of the vision model: positions in three dimensions. */
export const qwen2vl: SynthFamily = {
  architecture: "qwen2vl",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ["rope.dimension_sections", signedCounts(MULTIMODAL_SECTIONS)],
  ],
  layer: (_, shape) => [
    norm("attn_norm", shape),
    ...attention(shape, { hasBiases: true }),
    norm("ffn_norm", shape),
    ...feedForward(shape),
  ],
  outer: (shape) => untied(shape),
};

export const qwen3vl: SynthFamily = {
  architecture: "qwen3vl",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ["rope.dimension_sections", signedCounts(MULTIMODAL_SECTIONS)],
  ],
  layer: (_, shape) => [
    norm("attn_norm", shape),
    ...attention(shape, { hasHeadNorms: true }),
    norm("ffn_norm", shape),
    ...feedForward(shape),
  ],
  outer: (shape) => untied(shape),
};

const INDEX_LENGTH = 64;
/** An indexer finds so many blocks of so many keys; attention looks at these and at the last. */
const INDEX_TOP_BLOCKS = 16;
const INDEX_BLOCK = 32;
const SIGMOID_GATING = 2;

/** Attention to the blocks of keys that an indexer picks. */
export const minimaxM3: SynthFamily = {
  architecture: "minimax-m3",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ...expertMetadata(shape),
    ["leading_dense_block_count", count(1)],
    ["expert_shared_count", count(1)],
    ["expert_weights_scale", float(1)],
    ["expert_weights_norm", flag(true)],
    ["expert_gating_func", count(SIGMOID_GATING)],
    ["attention.indexer.head_count", count(numKvHeadsOf(shape))],
    ["attention.indexer.key_length", count(INDEX_LENGTH)],
    ["attention.indexer.top_k", count(INDEX_TOP_BLOCKS)],
    ["attention.indexer.block_size", count(INDEX_BLOCK)],
    ["attention.indexer.local_blocks", count(1)],
  ],
  layer(index, shape) {
    const { width } = shape;
    const mixer = [
      norm("attn_norm", shape),
      ...attention(shape, { hasHeadNorms: true }),
      norm("ffn_norm", shape),
    ];
    if (index === 0) return [...mixer, ...feedForward(shape)];
    return [
      ...mixer,
      ["indexer.q_proj.weight", [width, numKvHeadsOf(shape) * INDEX_LENGTH], matrix(1)],
      ["indexer.k_proj.weight", [width, INDEX_LENGTH], matrix(1)],
      ["indexer.q_norm.weight", [INDEX_LENGTH], constant(1)],
      ["indexer.k_norm.weight", [INDEX_LENGTH], constant(1)],
      ...experts(shape),
      expertBias(),
      ...sharedExpert(shape),
    ];
  },
  outer: (shape) => untied(shape),
};
