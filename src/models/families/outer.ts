import { SYNTH_VOCABULARY_SIZE } from "../synth-tokenizer.ts";
import type { FamilyShape, TensorRow } from "./family.ts";
import { constant, embedding, output, signs, tiedEmbedding } from "./fill.ts";

/** Of logits: a few tokens are likely. */
const LOGIT_DEVIATION = 4.5;

/** Embedding, last norm and an output of its own. */
export function untied({ width }: FamilyShape, deviation = 1): TensorRow[] {
  return [
    ["token_embd.weight", [width, SYNTH_VOCABULARY_SIZE], embedding(deviation)],
    ["output_norm.weight", [width], constant(1)],
    ["output.weight", [width, SYNTH_VOCABULARY_SIZE], output],
  ];
}

/**
 * The embedding is the output too. A last norm of both signs: with one sign each token would call for
 * itself, since its own embedding is a large part of what comes out.
 */
export function tied({ width }: FamilyShape, deviation = 1): TensorRow[] {
  const normSize = LOGIT_DEVIATION / (deviation * Math.sqrt(width));
  return [
    ["token_embd.weight", [width, SYNTH_VOCABULARY_SIZE], tiedEmbedding(deviation)],
    ["output_norm.weight", [width], signs(normSize)],
  ];
}
