import { QUERY_KEY_GAIN, branchGain, norm } from "./attention.ts";
import {
  HEAD_LENGTH,
  numHeadsOf,
  type FamilyShape,
  type MetadataRow,
  type SynthFamily,
  type TensorRow,
} from "./family.ts";
import { balancedExpertMetadata, balancedExperts, feedForward } from "./feed-forward.ts";
import { constant, matrix, smallMatrix } from "./fill.ts";
import { INDEX_LENGTH, NUM_INDEX_HEADS, indexerMetadata } from "./indexer.ts";
import { commonMetadata, count, float, rmsNormMetadata } from "./metadata.ts";
import { untied } from "./outer.ts";

/** One compressed row of so many numbers stands for the keys and values of all heads, as in DeepSeek-V3. */
const LATENT = 512;
/** Positions are turned in a part of their own. */
const ROTATED = 64;
const QUERY_LATENT = 64;
const OUTPUT_GAIN = 2;
const ROPE_BASE = 500_000;

export function latentMetadata(): MetadataRow[] {
  return [
    ["attention.key_length", count(LATENT + ROTATED)],
    ["attention.value_length", count(LATENT)],
    ["attention.key_length_mla", count(HEAD_LENGTH + ROTATED)],
    ["attention.value_length_mla", count(HEAD_LENGTH)],
    ["attention.kv_lora_rank", count(LATENT)],
    ["rope.dimension_count", count(ROTATED)],
    ["rope.freq_base", float(ROPE_BASE)],
  ];
}

/** Multi-head latent attention. */
export function latentAttention(
  shape: FamilyShape,
  options: { hasQueryLatent: boolean },
): TensorRow[] {
  const { width } = shape;
  const numHeads = numHeadsOf(shape);
  const queryWidth = numHeads * (HEAD_LENGTH + ROTATED);
  const queries: TensorRow[] = options.hasQueryLatent
    ? [
        ["attn_q_a.weight", [width, QUERY_LATENT], matrix(1)],
        ["attn_q_a_norm.weight", [QUERY_LATENT], constant(1)],
        ["attn_q_b.weight", [QUERY_LATENT, queryWidth], matrix(QUERY_KEY_GAIN)],
      ]
    : [["attn_q.weight", [width, queryWidth], matrix(QUERY_KEY_GAIN)]];
  return [
    ...queries,
    ["attn_kv_a_mqa.weight", [width, LATENT + ROTATED], matrix(1)],
    ["attn_kv_a_norm.weight", [LATENT], constant(1)],
    // Takes a query to the latent space: the sum there is of LATENT products, not of HEAD_LENGTH.
    [
      "attn_k_b.weight",
      [HEAD_LENGTH, LATENT, numHeads],
      matrix(QUERY_KEY_GAIN * Math.sqrt(HEAD_LENGTH / LATENT)),
    ],
    ["attn_v_b.weight", [LATENT, HEAD_LENGTH, numHeads], matrix(1)],
    ["attn_output.weight", [numHeads * HEAD_LENGTH, width], matrix(branchGain(shape, OUTPUT_GAIN))],
  ];
}

function deepseekMetadata(shape: FamilyShape): MetadataRow[] {
  return [
    ...commonMetadata(shape),
    ...rmsNormMetadata(),
    ...latentMetadata(),
    ["feed_forward_length", count(shape.feedForwardLength)],
    ["attention.head_count", count(numHeadsOf(shape))],
    ["attention.head_count_kv", count(1)],
    ["attention.q_lora_rank", count(QUERY_LATENT)],
    ...balancedExpertMetadata(shape),
  ];
}

function deepseekLayer(index: number, shape: FamilyShape): TensorRow[] {
  return [
    norm("attn_norm", shape),
    ...latentAttention(shape, { hasQueryLatent: true }),
    norm("ffn_norm", shape),
    ...(index === 0 ? feedForward(shape) : balancedExperts(shape)),
  ];
}

/** DeepSeek-V2 and V3, R1, Kimi-K2. Groups of four: 26 or 27 layers would be read as a "lite" model. */
export const deepseek2: SynthFamily = {
  architecture: "deepseek2",
  layersPerGroup: 4,
  metadata: deepseekMetadata,
  layer: deepseekLayer,
  outer: (shape) => untied(shape),
};

function indexer({ width }: FamilyShape): TensorRow[] {
  return [
    ["indexer.k_norm.weight", [INDEX_LENGTH], constant(1)],
    ["indexer.k_norm.bias", [INDEX_LENGTH], constant(0)],
    ["indexer.proj.weight", [width, NUM_INDEX_HEADS], smallMatrix(1)],
    ["indexer.attn_k.weight", [width, INDEX_LENGTH], matrix(1)],
    ["indexer.attn_q_b.weight", [QUERY_LATENT, NUM_INDEX_HEADS * INDEX_LENGTH], matrix(1)],
  ];
}

function sparse(architecture: string): SynthFamily {
  return {
    ...deepseek2,
    architecture,
    metadata: (shape) => [...deepseekMetadata(shape), ...indexerMetadata()],
    layer: (index, shape) => [...deepseekLayer(index, shape), ...indexer(shape)],
  };
}

export const deepseek32: SynthFamily = sparse("deepseek32");
export const glmDsa: SynthFamily = sparse("glm-dsa");
