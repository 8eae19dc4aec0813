import { QUERY_KEY_GAIN, branchGain, norm } from "./attention.ts";
import {
  HEAD_LENGTH,
  numHeadsOf,
  type FamilyShape,
  type SynthFamily,
  type TensorRow,
} from "./family.ts";
import { balancedExperts, expertMetadata } from "./feed-forward.ts";
import { constant, matrix, smallMatrix, spread } from "./fill.ts";
import { INDEX_LENGTH, NUM_INDEX_HEADS, indexerMetadata } from "./indexer.ts";
import {
  commonMetadata,
  count,
  flag,
  float,
  floats,
  perLayer,
  rmsNormMetadata,
} from "./metadata.ts";
import { untied } from "./outer.ts";

/** Residual streams side by side, which every branch mixes, reads and writes. */
const NUM_STREAMS = 4;
const WINDOW = 128;
const QUERY_LATENT = 64;
const NUM_OUTPUT_GROUPS = 2;
const OUTPUT_LATENT = 32;
const ROTATED = 32;
const OUTPUT_GAIN = 2;
/** Layers that also see the past in blocks of so many tokens, pressed into one each: none, few or many. */
const COMPRESSION = [0, 0, 4, 128] as const;
const NUM_MIXES = (2 + NUM_STREAMS) * NUM_STREAMS;
const CLAMP = 10;
const ROOT_SOFTPLUS_GATING = 4;

function compressionOf(layer: number): number {
  return COMPRESSION[layer % COMPRESSION.length]!;
}

/** One row for keys and values in a short window, and compressed rows for all that came before. */
export const deepseek4: SynthFamily = {
  architecture: "deepseek4",
  layersPerGroup: COMPRESSION.length,
  metadata: (shape) => [
    ...commonMetadata(shape),
    ...rmsNormMetadata(),
    ["feed_forward_length", count(shape.feedForwardLength)],
    ["attention.head_count", count(numHeadsOf(shape))],
    ["attention.head_count_kv", count(1)],
    ["attention.key_length", count(HEAD_LENGTH)],
    ["attention.value_length", count(HEAD_LENGTH)],
    ["rope.dimension_count", count(ROTATED)],
    ["rope.freq_base", float(10_000)],
    ["attention.q_lora_rank", count(QUERY_LATENT)],
    ["attention.sliding_window", count(WINDOW)],
    ...expertMetadata(shape),
    ["expert_shared_count", count(1)],
    ["expert_weights_scale", float(1)],
    ["expert_weights_norm", flag(true)],
    ["expert_gating_func", count(ROOT_SOFTPLUS_GATING)],
    ["swiglu_clamp_exp", floats(Array.from({ length: shape.numLayers }, () => CLAMP))],
    ...indexerMetadata(),
    ["attention.output_group_count", count(NUM_OUTPUT_GROUPS)],
    ["attention.output_lora_rank", count(OUTPUT_LATENT)],
    ["attention.compress_ratios", perLayer(shape, compressionOf)],
    ["attention.compress_rope_freq_base", float(160_000)],
    ["hyper_connection.count", count(NUM_STREAMS)],
    ["hyper_connection.sinkhorn_iterations", count(2)],
    ["hyper_connection.epsilon", float(1e-6)],
    ["hash_layer_count", count(0)],
  ],
  layer(index, shape) {
    const { width } = shape;
    const numHeads = numHeadsOf(shape);
    const queryWidth = numHeads * HEAD_LENGTH;
    return [
      norm("attn_norm", shape),
      ["attn_q_a.weight", [width, QUERY_LATENT], matrix(1)],
      ["attn_q_a_norm.weight", [QUERY_LATENT], constant(1)],
      ["attn_q_b.weight", [QUERY_LATENT, queryWidth], matrix(1)],
      ["attn_kv.weight", [width, HEAD_LENGTH], matrix(1)],
      ["attn_kv_a_norm.weight", [HEAD_LENGTH], constant(QUERY_KEY_GAIN)],
      ["attn_sinks.weight", [numHeads], spread(0, 1)],
      [
        "attn_output_a.weight",
        [queryWidth / NUM_OUTPUT_GROUPS, OUTPUT_LATENT, NUM_OUTPUT_GROUPS],
        matrix(1),
      ],
      [
        "attn_output_b.weight",
        [NUM_OUTPUT_GROUPS * OUTPUT_LATENT, width],
        matrix(branchGain(shape, OUTPUT_GAIN)),
      ],
      ...streamMixes("attn", shape),
      ...compressor(compressionOf(index), shape),
      norm("ffn_norm", shape),
      ...balancedExperts(shape),
      ...streamMixes("ffn", shape),
    ];
  },
  outer: (shape) => [
    ...untied(shape),
    ["output_hc_fn.weight", [NUM_STREAMS * shape.width, NUM_STREAMS], smallMatrix(1)],
    ["output_hc_base.weight", [NUM_STREAMS], constant(0)],
    ["output_hc_scale.weight", [1], constant(1)],
  ],
};

function streamMixes(branch: string, { width }: FamilyShape): TensorRow[] {
  return [
    [`hc_${branch}_fn.weight`, [NUM_STREAMS * width, NUM_MIXES], smallMatrix(1)],
    [`hc_${branch}_base.weight`, [NUM_MIXES], spread(-1, 1)],
    [`hc_${branch}_scale.weight`, [3], constant(1)],
  ];
}

function compressor(ratio: number, { width }: FamilyShape): TensorRow[] {
  if (ratio === 0) return [];
  const rows = (prefix: string, length: number, numParts: number): TensorRow[] => [
    [`${prefix}_kv.weight`, [width, numParts * length], matrix(1)],
    [`${prefix}_gate.weight`, [width, numParts * length], matrix(1)],
    [`${prefix}_ape.weight`, [numParts * length, ratio], spread(-0.5, 0.5)],
    [`${prefix}_norm.weight`, [length], constant(QUERY_KEY_GAIN)],
  ];
  if (ratio !== 4) return rows("attn_compressor", HEAD_LENGTH, 1);
  return [
    ...rows("attn_compressor", HEAD_LENGTH, 2),
    ...rows("indexer_compressor", INDEX_LENGTH, 2),
    ["indexer.proj.weight", [width, NUM_INDEX_HEADS], smallMatrix(1)],
    ["indexer.attn_q_b.weight", [QUERY_LATENT, NUM_INDEX_HEADS * INDEX_LENGTH], matrix(1)],
  ];
}
