import {
  HEAD_LENGTH,
  numHeadsOf,
  numKvHeadsOf,
  type FamilyShape,
  type TensorRow,
} from "./family.ts";
import { constant, matrix, spread } from "./fill.ts";

/**
 * The product of the two is the deviation of attention scores: soft enough that a query looks at a dozen
 * of 2,000 keys, so that an answer depends on each part of a prompt and little on rounding.
 */
export const QUERY_KEY_GAIN = 2.4;
/** Values of many keys cancel each other out: this brings them back to the size of the rest. */
const ATTENTION_OUTPUT_GAIN = 2;
const BIAS = 0.1;

/** What all layers together add to the residual stream deviates by `gain`. */
export function branchGain({ numLayers }: FamilyShape, gain: number): number {
  return gain / Math.sqrt(numLayers);
}

export interface AttentionOptions {
  /** Queries and keys are normalized, each head for itself. */
  readonly hasHeadNorms?: boolean;
  /** Every query comes with a gate for its head's output. */
  readonly isGated?: boolean;
  readonly hasBiases?: boolean;
  readonly headNorm?: number;
  /** Where a norm follows that sets the size anyway. */
  readonly outputGain?: number;
}

/** Softmax attention with grouped queries. */
export function attention(shape: FamilyShape, options: AttentionOptions = {}): TensorRow[] {
  const { hasHeadNorms, isGated, hasBiases, headNorm = QUERY_KEY_GAIN } = options;
  const { outputGain = branchGain(shape, ATTENTION_OUTPUT_GAIN) } = options;
  const { width } = shape;
  const queryWidth = numHeadsOf(shape) * HEAD_LENGTH;
  const kvWidth = numKvHeadsOf(shape) * HEAD_LENGTH;
  const scoreGain = hasHeadNorms ? 1 : QUERY_KEY_GAIN;
  const rows: TensorRow[] = [
    ["attn_q.weight", [width, isGated ? 2 * queryWidth : queryWidth], matrix(scoreGain)],
    ["attn_k.weight", [width, kvWidth], matrix(scoreGain)],
    ["attn_v.weight", [width, kvWidth], matrix(1)],
    ["attn_output.weight", [queryWidth, width], matrix(isGated ? 2 * outputGain : outputGain)],
  ];
  if (hasBiases) {
    rows.push(
      ["attn_q.bias", [queryWidth], spread(-BIAS, BIAS)],
      ["attn_k.bias", [kvWidth], spread(-BIAS, BIAS)],
      ["attn_v.bias", [kvWidth], spread(-BIAS, BIAS)],
    );
  }
  if (hasHeadNorms) {
    rows.push(
      ["attn_q_norm.weight", [HEAD_LENGTH], constant(headNorm)],
      ["attn_k_norm.weight", [HEAD_LENGTH], constant(headNorm)],
    );
  }
  return rows;
}

/** A norm that takes nothing away. */
export function norm(name: string, { width }: FamilyShape): TensorRow {
  return [`${name}.weight`, [width], constant(1)];
}
