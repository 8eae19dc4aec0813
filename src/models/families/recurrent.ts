import { branchGain, norm } from "./attention.ts";
import { HEAD_LENGTH, type FamilyShape, type SynthFamily, type TensorRow } from "./family.ts";
import { constant, matrix, smallMatrix, spread } from "./fill.ts";
import { commonMetadata, count, layerNormMetadata, rmsNormMetadata } from "./metadata.ts";
import { untied } from "./outer.ts";
import {
  mamba as mambaMixer,
  mamba2 as mamba2Mixer,
  mamba2Metadata,
  mambaMetadata,
} from "./state-space.ts";

export const mamba: SynthFamily = {
  architecture: "mamba",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...commonMetadata(shape),
    ["feed_forward_length", count(0)],
    ["attention.head_count", count(0)],
    ...rmsNormMetadata(),
    ...mambaMetadata(shape),
  ],
  layer: (_, shape) => [norm("attn_norm", shape), ...mambaMixer(shape)],
  outer: (shape) => untied(shape),
};

export const mamba2: SynthFamily = {
  ...mamba,
  architecture: "mamba2",
  metadata: (shape) => [
    ...commonMetadata(shape),
    ["feed_forward_length", count(0)],
    ["attention.head_count", count(0)],
    ...rmsNormMetadata(),
    ...mamba2Metadata(shape),
  ],
  layer: (_, shape) => [norm("attn_norm", shape), ...mamba2Mixer(shape)],
};

const LOW_RANK = 32;
const NUM_MIXES = 6;
const OUTPUT_GAIN = 2;
const CHANNEL_MIX_GAIN = 0.3;
/** Before a sigmoid: states fade by 2e-5 to 1e-3 a token, or nothing of a long prompt would be left. */
const DECAY = { from: -10, to: -6.5 } as const;
/** Before a sigmoid: how much of what a state holds under a key the next such key wipes out. */
const LEARNING_RATE = { from: -6, to: -4 } as const;

export const rwkv7: SynthFamily = {
  architecture: "rwkv7",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...commonMetadata(shape),
    ["feed_forward_length", count(shape.feedForwardLength)],
    ["attention.head_count", count(0)],
    ...layerNormMetadata(),
    ["wkv.head_size", count(HEAD_LENGTH)],
    ["attention.decay_lora_rank", count(LOW_RANK)],
    ["attention.iclr_lora_rank", count(LOW_RANK)],
    ["attention.value_residual_mix_lora_rank", count(LOW_RANK)],
    ["attention.gate_lora_rank", count(LOW_RANK)],
  ],
  layer(_, shape) {
    const { width, feedForwardLength } = shape;
    const square = (name: string, gain: number): TensorRow => [
      `time_mix_${name}.weight`,
      [width, width],
      matrix(gain),
    ];
    const vector = (name: string, from: number, to = from): TensorRow => [
      `time_mix_${name}.weight`,
      [width],
      spread(from, to),
    ];
    const lowRank = (letter: string, gain: number): TensorRow[] => [
      [`time_mix_${letter}1.weight`, [width, LOW_RANK], smallMatrix(1)],
      [`time_mix_${letter}2.weight`, [LOW_RANK, width], smallMatrix(gain)],
    ];
    return [
      ...layerNorm("attn_norm", shape),
      ...layerNorm("attn_norm_2", shape),
      ["time_mix_lerp_fused.weight", [width, 1, 1, NUM_MIXES], spread(0, 1)],
      square("receptance", 1),
      square("key", 1),
      square("value", 1),
      square("output", branchGain(shape, OUTPUT_GAIN)),
      vector("w0", DECAY.from, DECAY.to),
      ...lowRank("w", 0.5),
      vector("a0", LEARNING_RATE.from, LEARNING_RATE.to),
      ...lowRank("a", 0.5),
      vector("v0", -1),
      ...lowRank("v", 0.5),
      // Sigmoids of about a half come in: their mean goes through as well.
      ...lowRank("g", 2),
      vector("k_k", 1),
      vector("k_a", 0),
      vector("r_k", 0, 0.02),
      ...layerNorm("time_mix_ln", shape),
      ["channel_mix_lerp_k.weight", [width, 1, 1], spread(0, 1)],
      ["channel_mix_key.weight", [width, feedForwardLength], matrix(1)],
      [
        "channel_mix_value.weight",
        [feedForwardLength, width],
        matrix(branchGain(shape, CHANNEL_MIX_GAIN)),
      ],
    ];
  },
  outer: (shape) => [
    ...untied(shape),
    ["output_norm.bias", [shape.width], constant(0)],
    ...layerNorm("token_embd_norm", shape),
  ],
};

function layerNorm(name: string, shape: FamilyShape): TensorRow[] {
  return [norm(name, shape), [`${name}.bias`, [shape.width], constant(0)]];
}
