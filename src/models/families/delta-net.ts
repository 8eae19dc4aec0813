import { attention, branchGain, norm } from "./attention.ts";
import {
  HEAD_LENGTH,
  isLastOfGroup,
  numHeadsOf,
  type FamilyShape,
  type MetadataRow,
  type SynthFamily,
  type TensorRow,
} from "./family.ts";
import {
  balancedExperts,
  expertMetadata,
  experts,
  feedForward,
  sharedExpert,
} from "./feed-forward.ts";
import { constant, matrix, smallMatrix, spread } from "./fill.ts";
import { latentAttention, latentMetadata } from "./latent.ts";
import {
  commonMetadata,
  count,
  float,
  perLayer,
  rmsNormMetadata,
  signedCounts,
  transformerMetadata,
} from "./metadata.ts";
import { untied } from "./outer.ts";

/** Three layers with a state, then one with attention. */
export const DELTA_NET_GROUP = 4;
/** Numbers of one key and of one value: a state is this square, for each head of values. */
const STATE = 128;
const CONV_KERNEL = 4;
const CONV_TAP = 1;
const OUTPUT_GAIN = 2;
/** Through softplus and times the decay: states fade by 0.0002 to 0.004 a token. */
const TIME_STEP_BIAS = { from: -8, to: -6 } as const;
const DECAY = { from: -1.5, to: -0.5 } as const;
/** Only a part of a head turns with the position, in sections for time, height and width. */
const ROTATED = 32;
const ROTATED_SECTIONS = [6, 5, 5, 0] as const;

/** Two heads of values share one of keys where the width allows. */
function numStateHeads({ width }: FamilyShape): { keys: number; values: number } {
  const values = width / STATE;
  return { keys: values % 2 === 0 ? values / 2 : values, values };
}

export function deltaNetMetadata(shape: FamilyShape): MetadataRow[] {
  const { keys, values } = numStateHeads(shape);
  return [
    ...transformerMetadata(shape).filter(([key]) => key !== "rope.dimension_count"),
    ...rmsNormMetadata(),
    ["rope.dimension_count", count(ROTATED)],
    ["ssm.conv_kernel", count(CONV_KERNEL)],
    ["ssm.inner_size", count(values * STATE)],
    ["ssm.state_size", count(STATE)],
    ["ssm.time_step_rank", count(values)],
    ["ssm.group_count", count(keys)],
    ["full_attention_interval", count(DELTA_NET_GROUP)],
  ];
}

export function multimodalSections(): MetadataRow {
  return ["rope.dimension_sections", signedCounts(ROTATED_SECTIONS)];
}

/** A state that each token corrects under its own key. */
export function deltaNet(shape: FamilyShape): TensorRow[] {
  const { width } = shape;
  const { keys, values } = numStateHeads(shape);
  const channels = (2 * keys + values) * STATE;
  return [
    ["attn_qkv.weight", [width, channels], matrix(1)],
    ["attn_gate.weight", [width, values * STATE], matrix(1)],
    ["ssm_conv1d.weight", [CONV_KERNEL, channels], spread(-CONV_TAP, CONV_TAP)],
    ["ssm_dt.bias", [values], spread(TIME_STEP_BIAS.from, TIME_STEP_BIAS.to)],
    ["ssm_a", [values], spread(DECAY.from, DECAY.to)],
    ["ssm_norm.weight", [STATE], constant(1)],
    ["ssm_out.weight", [values * STATE, width], matrix(branchGain(shape, OUTPUT_GAIN))],
  ];
}

export function deltaNetGates(shape: FamilyShape): TensorRow[] {
  const { values } = numStateHeads(shape);
  return [
    ["ssm_alpha.weight", [shape.width, values], smallMatrix(1)],
    ["ssm_beta.weight", [shape.width, values], smallMatrix(1)],
  ];
}

export function sharedExpertMetadata({ feedForwardLength }: FamilyShape): MetadataRow {
  return ["expert_shared_feed_forward_length", count(feedForwardLength)];
}

/** Experts, and one for all that each token weighs for itself. */
export function weighedExperts(shape: FamilyShape): TensorRow[] {
  return [
    ...experts(shape),
    ...sharedExpert(shape),
    ["ffn_gate_inp_shexp.weight", [shape.width], spread(-0.1, 0.1)],
  ];
}

function qwenLayer(
  index: number,
  shape: FamilyShape,
  gates: TensorRow[],
  feedForwardRows: TensorRow[],
): TensorRow[] {
  return [
    norm("attn_norm", shape),
    ...(isLastOfGroup(index, DELTA_NET_GROUP)
      ? attention(shape, { hasHeadNorms: true, isGated: true })
      : [...deltaNet(shape), ...gates]),
    norm("post_attention_norm", shape),
    ...feedForwardRows,
  ];
}

export const qwen35: SynthFamily = {
  architecture: "qwen35",
  layersPerGroup: DELTA_NET_GROUP,
  metadata: (shape) => [...deltaNetMetadata(shape), multimodalSections()],
  layer: (index, shape) => qwenLayer(index, shape, deltaNetGates(shape), feedForward(shape)),
  outer: (shape) => untied(shape),
};

export const qwen35moe: SynthFamily = {
  ...qwen35,
  architecture: "qwen35moe",
  metadata: (shape) => [
    ...deltaNetMetadata(shape),
    multimodalSections(),
    ...expertMetadata(shape),
    sharedExpertMetadata(shape),
  ],
  layer: (index, shape) => qwenLayer(index, shape, deltaNetGates(shape), weighedExperts(shape)),
};

/** Both gates in one matrix. */
export const qwen3next: SynthFamily = {
  ...qwen35,
  architecture: "qwen3next",
  metadata: (shape) => [
    ...deltaNetMetadata(shape),
    ...expertMetadata(shape),
    sharedExpertMetadata(shape),
  ],
  layer(index, shape) {
    const { values } = numStateHeads(shape);
    const gates: TensorRow[] = [["ssm_ba.weight", [shape.width, 2 * values], smallMatrix(1)]];
    return qwenLayer(index, shape, gates, weighedExperts(shape));
  },
};

/** As many heads as attention has, and keys that fade number by number; latent attention between. */
export const kimiLinear: SynthFamily = {
  architecture: "kimi-linear",
  layersPerGroup: DELTA_NET_GROUP,
  metadata: (shape) => [
    ...commonMetadata(shape),
    ...rmsNormMetadata(),
    ...latentMetadata(),
    ["feed_forward_length", count(shape.feedForwardLength)],
    ["attention.head_count", count(numHeadsOf(shape))],
    [
      "attention.head_count_kv",
      perLayer(shape, (layer) => (isLastOfGroup(layer, DELTA_NET_GROUP) ? 1 : 0)),
    ],
    ["ssm.conv_kernel", count(CONV_KERNEL)],
    ["kda.head_dim", count(HEAD_LENGTH)],
    ...expertMetadata(shape),
    ["leading_dense_block_count", count(1)],
    ["expert_shared_count", count(1)],
    ["expert_weights_scale", float(1)],
    ["expert_gating_func", count(2)],
  ],
  layer: (index, shape) => [
    norm("attn_norm", shape),
    ...(isLastOfGroup(index, DELTA_NET_GROUP)
      ? latentAttention(shape, { hasQueryLatent: false })
      : kimiDeltaNet(shape)),
    norm("ffn_norm", shape),
    ...(index === 0 ? feedForward(shape) : balancedExperts(shape)),
  ],
  outer: (shape) => untied(shape),
};

function kimiDeltaNet(shape: FamilyShape): TensorRow[] {
  const { width } = shape;
  const numHeads = numHeadsOf(shape);
  const inner = numHeads * HEAD_LENGTH;
  const branch = (letter: string): TensorRow[] => [
    [`attn_${letter}.weight`, [width, inner], matrix(1)],
    [`ssm_conv1d_${letter}.weight`, [CONV_KERNEL, 1, inner], spread(-CONV_TAP, CONV_TAP)],
  ];
  return [
    ...branch("q"),
    ...branch("k"),
    ...branch("v"),
    ["ssm_f_a.weight", [width, HEAD_LENGTH], matrix(1)],
    ["ssm_f_b.weight", [HEAD_LENGTH, inner], matrix(1)],
    ["ssm_beta.weight", [width, numHeads], smallMatrix(1)],
    ["ssm_a", [1, numHeads], spread(DECAY.from, DECAY.to)],
    ["ssm_dt.bias", [inner], spread(TIME_STEP_BIAS.from, TIME_STEP_BIAS.to)],
    ["ssm_g_a.weight", [width, HEAD_LENGTH], matrix(1)],
    ["ssm_g_b.weight", [HEAD_LENGTH, inner], matrix(1)],
    ["ssm_norm.weight", [HEAD_LENGTH], constant(1)],
    ["attn_output.weight", [inner, width], matrix(branchGain(shape, OUTPUT_GAIN))],
  ];
}
