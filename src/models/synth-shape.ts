import { UsageError } from "../core/index.ts";
import { SYNTH_VOCABULARY_SIZE } from "./synth-tokenizer.ts";

/** The dimensions of a made-up llama model. */
export interface SynthShape {
  readonly numLayers: number;
  readonly embeddingLength: number;
  readonly feedForwardLength: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly numParameters: number;
}

export const HEAD_LENGTH = 64;
/** Query heads that share one KV head, as in the larger models of today. */
const HEADS_PER_KV_HEAD = 8;
/** All query heads together, as in Qwen3: attention costs more beside the rest, as it does in large models. */
const ATTENTION_WIDTHS = 2;

const MIN_PARAMETERS = 500_000;
const MAX_PARAMETERS = 1_000_000_000;
/** Widths are whole groups of heads. */
const WIDTH_STEP = (HEAD_LENGTH * HEADS_PER_KV_HEAD) / ATTENTION_WIDTHS;
/** Two blocks of Q8_0. */
const FEED_FORWARD_STEP = 64;
/** One layer has about 11.5 width^2 parameters when its feed-forward part is 7/3 widths wide. */
const LAYER_PARAMETERS_PER_WIDTH2 = 11.5;
/** A layer for each head's length of width: 25m is 8 layers of 512, 1b is 27 of 1792. */
const PARAMETERS_PER_WIDTH3 = LAYER_PARAMETERS_PER_WIDTH2 / HEAD_LENGTH;

/**
 * Reads "25m", "0.5b" or a plain number.
 *
 * @throws UsageError when it is no such thing, or not from 0.5m to 1b
 */
export function parseParamCount(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([mb]?)$/i.exec(text.trim());
  const unit = { "": 1, m: 1e6, b: 1e9 }[match?.[2]?.toLowerCase() ?? ""] ?? Number.NaN;
  const numParams = match ? Math.round(Number(match[1]) * unit) : Number.NaN;
  if (!(numParams >= MIN_PARAMETERS && numParams <= MAX_PARAMETERS)) {
    throw new UsageError(
      `Cannot make a model of "${text}" parameters: wanted a number from 0.5m to 1b, such as 25m or 0.5b`,
    );
  }
  return numParams;
}

/** 25_000_000 -> "25m". */
export function formatParamCount(numParams: number): string {
  return numParams >= 1e9 ? `${numParams / 1e9}b` : `${numParams / 1e6}m`;
}

/**
 * The shape for about `numParams` parameters:
 *
 * 1. the width is the multiple of 256 at which layers = width / 64 would come nearest;
 * 2. the layers are as many as fit when the feed-forward part is 7/3 widths wide, at least 2;
 * 3. the feed-forward part takes up the rest, in steps of 64.
 *
 *      1m:  2 layers of  256, feed-forward  192       100m: 15 layers of  768, feed-forward 1728
 *     25m:  8 layers of  512, feed-forward 1216         1b: 27 layers of 1792, feed-forward 4224
 */
export function synthShape(numParams: number): SynthShape {
  let width = WIDTH_STEP;
  while (PARAMETERS_PER_WIDTH3 * (width + WIDTH_STEP / 2) ** 3 < numParams) width += WIDTH_STEP;
  const embeddings = 2 * SYNTH_VOCABULARY_SIZE * width + width;
  const numHeads = (ATTENTION_WIDTHS * width) / HEAD_LENGTH;
  const numKvHeads = numHeads / HEADS_PER_KV_HEAD;
  const perLayer = (numParams - embeddings) / (LAYER_PARAMETERS_PER_WIDTH2 * width * width);
  const numLayers = Math.max(2, Math.round(perLayer));
  const attention = 2 * width * (numHeads + numKvHeads) * HEAD_LENGTH;
  const forFeedForward = (numParams - embeddings) / numLayers - attention - 2 * width;
  const feedForwardLength =
    FEED_FORWARD_STEP * Math.max(1, Math.round(forFeedForward / (3 * width * FEED_FORWARD_STEP)));
  const layer = attention + 2 * width + 3 * width * feedForwardLength;
  return {
    numLayers,
    embeddingLength: width,
    feedForwardLength,
    numHeads,
    numKvHeads,
    numParameters: embeddings + numLayers * layer,
  };
}
