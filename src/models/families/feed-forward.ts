import { branchGain } from "./attention.ts";
import type { FamilyShape, MetadataRow, TensorRow } from "./family.ts";
import { matrix, smallMatrix, spread } from "./fill.ts";
import { count } from "./metadata.ts";

const DOWN_GAIN = 0.5;
export const NUM_EXPERTS = 4;
const NUM_USED_EXPERTS = 2;
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

/** What balances the load of experts in training. */
export function expertBias(): TensorRow {
  return ["exp_probs_b.bias", [NUM_EXPERTS], spread(0, 0.1)];
}

export function expertMetadata({ feedForwardLength }: FamilyShape): MetadataRow[] {
  return [
    ["expert_count", count(NUM_EXPERTS)],
    ["expert_used_count", count(NUM_USED_EXPERTS)],
    ["expert_feed_forward_length", count(feedForwardLength)],
  ];
}
