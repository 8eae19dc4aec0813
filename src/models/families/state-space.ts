import { branchGain } from "./attention.ts";
import type { FamilyShape, MetadataRow, TensorRow } from "./family.ts";
import { constant, matrix, spread } from "./fill.ts";
import { count } from "./metadata.ts";

const CONV_KERNEL = 4;
/**
 * Taps of the short convolution. What passes through it is gated, which large numbers need for getting
 * through at all; with small ones it has no mean, and states hold what tells tokens apart.
 */
const CONV_TAP = { large: 2, small: 0.7 } as const;
const CONV_BIAS = 0.1;
const OUTPUT_GAIN = 2;
/** How fast states fade and how much a token adds: softplus makes steps of 0.0003 to 0.0025 of these. */
const TIME_STEP_BIAS = { from: -8, to: -6 } as const;
const DECAY = { from: -1.5, to: -0.5 } as const;
/** What goes past the state: little, or it would hide it. */
const PAST_STATE = 0.02;

const MAMBA_STATE = 16;
const MAMBA2_STATE = 64;
const MAMBA2_HEAD = 64;
const NUM_GROUPS = 1;

/** Twice as wide as the model. */
function innerLengthOf({ width }: FamilyShape): number {
  return 2 * width;
}

function convolution(channels: number, tap: number): TensorRow[] {
  return [
    ["ssm_conv1d.weight", [CONV_KERNEL, channels], spread(-tap, tap)],
    ["ssm_conv1d.bias", [channels], spread(-CONV_BIAS, CONV_BIAS)],
  ];
}

export function mambaMetadata(shape: FamilyShape): MetadataRow[] {
  return [
    ["ssm.conv_kernel", count(CONV_KERNEL)],
    ["ssm.inner_size", count(innerLengthOf(shape))],
    ["ssm.state_size", count(MAMBA_STATE)],
    ["ssm.time_step_rank", count(timeStepRankOf(shape))],
  ];
}

/** Whole blocks of a matrix. */
function timeStepRankOf({ width }: FamilyShape): number {
  return Math.max(32, width / 16);
}

/** The first Mamba: a state for each channel. */
export function mamba(shape: FamilyShape): TensorRow[] {
  const { width } = shape;
  const inner = innerLengthOf(shape);
  const rank = timeStepRankOf(shape);
  return [
    ["ssm_in.weight", [width, 2 * inner], matrix(1)],
    ...convolution(inner, CONV_TAP.large),
    ["ssm_x.weight", [inner, rank + 2 * MAMBA_STATE], matrix(1)],
    ["ssm_dt.weight", [rank, inner], matrix(1)],
    ["ssm_dt.bias", [inner], spread(TIME_STEP_BIAS.from, TIME_STEP_BIAS.to)],
    ["ssm_a", [MAMBA_STATE, inner], spread(DECAY.from, DECAY.to)],
    ["ssm_d", [inner], constant(PAST_STATE)],
    ["ssm_out.weight", [inner, width], matrix(branchGain(shape, OUTPUT_GAIN))],
  ];
}

/** As Jamba has them: what makes the steps is normalized. */
export function mambaNorms(shape: FamilyShape): TensorRow[] {
  return [
    ["ssm_dt_norm.weight", [timeStepRankOf(shape)], constant(1)],
    ["ssm_b_norm.weight", [MAMBA_STATE], constant(1)],
    ["ssm_c_norm.weight", [MAMBA_STATE], constant(1)],
  ];
}

export function mamba2Metadata(shape: FamilyShape): MetadataRow[] {
  return [
    ["ssm.conv_kernel", count(CONV_KERNEL)],
    ["ssm.inner_size", count(innerLengthOf(shape))],
    ["ssm.state_size", count(MAMBA2_STATE)],
    ["ssm.time_step_rank", count(innerLengthOf(shape) / MAMBA2_HEAD)],
    ["ssm.group_count", count(NUM_GROUPS)],
  ];
}

/** The second Mamba: heads, as attention has them. */
export function mamba2(shape: FamilyShape, options: { hasNorm?: boolean } = {}): TensorRow[] {
  const { hasNorm = true } = options;
  const { width } = shape;
  const inner = innerLengthOf(shape);
  const numHeads = inner / MAMBA2_HEAD;
  const channels = inner + 2 * NUM_GROUPS * MAMBA2_STATE;
  const rows: TensorRow[] = [
    ["ssm_in.weight", [width, inner + channels + numHeads], matrix(1)],
    ...convolution(channels, CONV_TAP.small),
    ["ssm_dt.bias", [numHeads], spread(TIME_STEP_BIAS.from, TIME_STEP_BIAS.to)],
    ["ssm_a", [1, numHeads], spread(DECAY.from, DECAY.to)],
    ["ssm_d", [1, numHeads], constant(PAST_STATE)],
    ["ssm_out.weight", [inner, width], matrix(branchGain(shape, OUTPUT_GAIN))],
  ];
  if (hasNorm) rows.push(["ssm_norm.weight", [inner / NUM_GROUPS, NUM_GROUPS], constant(1)]);
  return rows;
}
