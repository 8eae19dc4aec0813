import { branchGain } from "./attention.ts";
import type { FamilyShape, MetadataRow, TensorRow } from "./family.ts";
import { matrix, smallMatrix, spread } from "./fill.ts";
import { count, flag, float } from "./metadata.ts";

const DOWN_GAIN = 0.5;
export const NUM_EXPERTS = 4;
const NUM_USED_EXPERTS = 2;
const SIGMOID_GATING = 2;
/** Takes scores apart, so that rounding seldom changes which experts are used. */
const ROUTER_GAIN = 2;

/** Gate, up and down. */
export function feedForward(
  shape: FamilyShape,
  downGain: number = branchGain(shape, DOWN_GAIN),
): TensorRow[] {
  const { width, feedForwardLength } = shape;
  return [
    ["ffn_gate.weight", [width, feedForwardLength], matrix(1)],
    ["ffn_up.weight", [width, feedForwardLength], matrix(1)],
    ["ffn_down.weight", [feedForwardLength, width], matrix(downGain)],
  ];
}

/** Up and down, without a gate. */
export function plainFeedForward(shape: FamilyShape): TensorRow[] {
  return feedForward(shape).slice(1);
}

/** Four experts of which each token uses two. */
export function experts(shape: FamilyShape): TensorRow[] {
  const { width, feedForwardLength } = shape;
  return [
    ["ffn_gate_inp.weight", [width, NUM_EXPERTS], smallMatrix(ROUTER_GAIN)],
    ["ffn_gate_exps.weight", [width, feedForwardLength, NUM_EXPERTS], matrix(1)],
    ["ffn_up_exps.weight", [width, feedForwardLength, NUM_EXPERTS], matrix(1)],
    [
      "ffn_down_exps.weight",
      [feedForwardLength, width, NUM_EXPERTS],
      matrix(branchGain(shape, DOWN_GAIN)),
    ],
  ];
}

/** One more expert that every token uses. */
export function sharedExpert(shape: FamilyShape): TensorRow[] {
  return feedForward(shape).map(([name, size, fill]) => [
    name.replace(".weight", "_shexp.weight"),
    size,
    fill,
  ]);
}

/** As DeepSeek-V3 has them: with a bias that balances their load in training, and a shared one. */
export function balancedExperts(shape: FamilyShape): TensorRow[] {
  const bias: TensorRow = ["exp_probs_b.bias", [NUM_EXPERTS], spread(0, 0.1)];
  return [...experts(shape), bias, ...sharedExpert(shape)];
}

/** Of these, in all layers but the first. */
export function balancedExpertMetadata(shape: FamilyShape): MetadataRow[] {
  return [
    ...expertMetadata(shape),
    ["leading_dense_block_count", count(1)],
    ["expert_shared_count", count(1)],
    ["expert_weights_scale", float(1)],
    ["expert_weights_norm", flag(true)],
    ["expert_gating_func", count(SIGMOID_GATING)],
  ];
}

export function expertMetadata({ feedForwardLength }: FamilyShape): MetadataRow[] {
  return [
    ["expert_count", count(NUM_EXPERTS)],
    ["expert_used_count", count(NUM_USED_EXPERTS)],
    ["expert_feed_forward_length", count(feedForwardLength)],
  ];
}
