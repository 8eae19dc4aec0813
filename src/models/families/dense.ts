import { type AttentionOptions, attention, norm } from "./attention.ts";
import { numKvHeadsOf, type SynthFamily } from "./family.ts";
import { balancedExpertMetadata, balancedExperts, feedForward } from "./feed-forward.ts";
import { constant, matrix } from "./fill.ts";
import { count, rmsNormMetadata, signedCounts, transformerMetadata } from "./metadata.ts";
import { untied } from "./outer.ts";

/** Pairs of a head that turn with time, height and width: text turns all alike. */
const MULTIMODAL_SECTIONS = [8, 12, 12, 0] as const;

/** Text of a vision model: positions in three dimensions. */
function visionText(architecture: string, options: AttentionOptions): SynthFamily {
  return {
    architecture,
    layersPerGroup: 2,
    metadata: (shape) => [
      ...transformerMetadata(shape),
      ...rmsNormMetadata(),
      ["rope.dimension_sections", signedCounts(MULTIMODAL_SECTIONS)],
    ],
    layer: (_, shape) => [
      norm("attn_norm", shape),
      ...attention(shape, options),
      norm("ffn_norm", shape),
      ...feedForward(shape),
    ],
    outer: (shape) => untied(shape),
  };
}

export const qwen2vl: SynthFamily = visionText("qwen2vl", { hasBiases: true });
export const qwen3vl: SynthFamily = visionText("qwen3vl", { hasHeadNorms: true });

const INDEX_LENGTH = 64;
/** An indexer finds so many blocks of so many keys; attention looks at these and at the last. */
const INDEX_TOP_BLOCKS = 16;
const INDEX_BLOCK = 32;

/** Attention to the blocks of keys that an indexer picks. */
export const minimaxM3: SynthFamily = {
  architecture: "minimax-m3",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ...balancedExpertMetadata(shape),
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
      ...balancedExperts(shape),
    ];
  },
  outer: (shape) => untied(shape),
};
