import type { GgufTensorSource } from "../gguf-writer.ts";
import { numElementsOf, type GgufValue } from "../gguf.ts";
import type { FamilyShape, SynthFamily, TensorRow } from "./family.ts";

const WIDTH_STEP = 128;
const MAX_WIDTH = 8192;
/** A layer for each 32 of width: large models have that form. */
const WIDTH_PER_LAYER = 32;
const FEED_FORWARD_STEP = 64;
/** In widths: what the feed-forward part may be stretched to. */
const FEED_FORWARD_WIDTHS = { least: 0.5, usual: 2, most: 5 } as const;

/** What a file of a family holds, before its bytes are made. */
export interface FamilyModel {
  readonly shape: FamilyShape;
  readonly numParameters: number;
  readonly metadata: [string, GgufValue][];
  tensors(seed: number): GgufTensorSource[];
}

/** A model of about so many parameters; the smallest of some families is larger than the smallest asked for. */
export function familyModel(family: SynthFamily, numParams: number): FamilyModel {
  const shape = familyShape(family, numParams);
  const rows = allRows(family, shape);
  return {
    shape,
    numParameters: numParametersOf(rows),
    metadata: family
      .metadata(shape)
      .map(([key, value]) => [`${family.architecture}.${key}`, value]),
    tensors: (seed) => rows.map(([name, size, fill]) => fill({ name, shape: size }, seed)),
  };
}

/**
 * 1. For each width, as many groups of layers as come nearest; of these the one with the usual form.
 * 2. The feed-forward part takes up the rest.
 */
function familyShape(family: SynthFamily, numParams: number): FamilyShape {
  let best: { shape: FamilyShape; misfit: number } | undefined;
  for (let width = WIDTH_STEP; width <= MAX_WIDTH; width += WIDTH_STEP) {
    const { shape, numParameters } = fitLayers(family, width, numParams);
    const form = Math.log((shape.numLayers * WIDTH_PER_LAYER) / width);
    const size = Math.log(numParameters / numParams);
    const misfit = Math.abs(form) / 2 + Math.abs(size);
    if (best === undefined || misfit < best.misfit) best = { shape, misfit };
    // Wider ones are larger still.
    else if (size > Math.LN2) break;
  }
  return fitFeedForward(family, best!.shape, numParams);
}

function fitLayers(
  family: SynthFamily,
  width: number,
  numParams: number,
): { readonly shape: FamilyShape; readonly numParameters: number } {
  const ofGroups = (numGroups: number): FamilyShape => ({
    width,
    numLayers: numGroups * family.layersPerGroup,
    feedForwardLength: width * FEED_FORWARD_WIDTHS.usual,
  });
  const one = parametersOf(family, ofGroups(1));
  const perGroup = parametersOf(family, ofGroups(2)) - one;
  const numFurther = Math.max(0, Math.round((numParams - one) / perGroup));
  return { shape: ofGroups(1 + numFurther), numParameters: one + numFurther * perGroup };
}

function fitFeedForward(family: SynthFamily, shape: FamilyShape, numParams: number): FamilyShape {
  const { width, feedForwardLength } = shape;
  const now = parametersOf(family, shape);
  const longer = { ...shape, feedForwardLength: feedForwardLength + FEED_FORWARD_STEP };
  const perStep = parametersOf(family, longer) - now;
  if (perStep === 0) return shape;
  const wanted = feedForwardLength + Math.round((numParams - now) / perStep) * FEED_FORWARD_STEP;
  const { least, most } = FEED_FORWARD_WIDTHS;
  return { ...shape, feedForwardLength: Math.min(Math.max(wanted, least * width), most * width) };
}

function parametersOf(family: SynthFamily, shape: FamilyShape): number {
  return numParametersOf(allRows(family, shape));
}

function numParametersOf(rows: readonly TensorRow[]): number {
  return rows.reduce((sum, [, size]) => sum + numElementsOf(size), 0);
}

function allRows(family: SynthFamily, shape: FamilyShape): TensorRow[] {
  const rows = family.outer(shape);
  for (let layer = 0; layer < shape.numLayers; layer++) {
    for (const [name, size, fill] of family.layer(layer, shape)) {
      rows.push([`blk.${layer}.${name}`, size, fill]);
    }
  }
  return rows;
}
