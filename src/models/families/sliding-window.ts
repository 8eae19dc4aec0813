import { attention, branchGain, norm } from "./attention.ts";
import {
  HEAD_LENGTH,
  numHeadsOf,
  type FamilyShape,
  type SynthFamily,
  type TensorRow,
} from "./family.ts";
import { NUM_EXPERTS, expertMetadata, experts, feedForward, sharedExpert } from "./feed-forward.ts";
import { SYNTH_VOCABULARY_SIZE } from "../synth-tokenizer.ts";
import { constant, list, matrix, spread, embedding } from "./fill.ts";
import {
  count,
  flags,
  float,
  layerNormMetadata,
  rmsNormMetadata,
  transformerMetadata,
} from "./metadata.ts";
import { tied, untied } from "./outer.ts";

/** Tokens that a layer with a window looks back at; gpt-oss has the short one. */
const WINDOW = 512;
const SHORT_WINDOW = 128;
const ATTENTION_LOGIT_CAP = 50;
const FINAL_LOGIT_CAP = 30;

/** Gemma multiplies embeddings by the root of the width. */
function gemmaEmbedding({ width }: FamilyShape): number {
  return 1 / Math.sqrt(width);
}

/** Gemma normalizes what a branch adds. */
function branchNorm(name: string, shape: FamilyShape, gain: number): TensorRow {
  return [`${name}.weight`, [shape.width], constant(branchGain(shape, gain))];
}

function gemmaLayer(shape: FamilyShape, attentionRows: TensorRow[]): TensorRow[] {
  return [
    norm("attn_norm", shape),
    ...attentionRows,
    branchNorm("post_attention_norm", shape, 1),
    norm("ffn_norm", shape),
    ...feedForward(shape, 1),
    branchNorm("post_ffw_norm", shape, 0.5),
  ];
}

export const gemma2: SynthFamily = {
  architecture: "gemma2",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ["attn_logit_softcapping", float(ATTENTION_LOGIT_CAP)],
    ["final_logit_softcapping", float(FINAL_LOGIT_CAP)],
    ["attention.sliding_window", count(WINDOW)],
  ],
  layer: (_, shape) => gemmaLayer(shape, attention(shape, { outputGain: 1 })),
  outer: (shape) => tied(shape, gemmaEmbedding(shape)),
};

/** Five layers with a window, then one without. */
export const gemma3: SynthFamily = {
  architecture: "gemma3",
  layersPerGroup: 6,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ["attention.sliding_window", count(WINDOW)],
  ],
  layer: (_, shape) => gemmaLayer(shape, attention(shape, { outputGain: 1, hasHeadNorms: true })),
  outer: (shape) => tied(shape, gemmaEmbedding(shape)),
};

const GEMMA4_GROUP = 6;
/** Layers at the end that read the keys and values of layers before them. */
const GEMMA4_SHARED_LAYERS = 2;
const GEMMA4_INPUT_LENGTH = 64;
/** No division by the root of the head's length: smaller queries and keys instead. */
const GEMMA4_HEAD_NORM = 0.53;
/** As its converter writes for frequencies that do not turn. */
const NO_ROTATION = 1e30;

/** Layers with a window and without by turns, and an own embedding for each layer. */
export const gemma4: SynthFamily = {
  architecture: "gemma4",
  layersPerGroup: GEMMA4_GROUP,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ["final_logit_softcapping", float(FINAL_LOGIT_CAP)],
    ["embedding_length_per_layer_input", count(GEMMA4_INPUT_LENGTH)],
    ["attention.shared_kv_layers", count(GEMMA4_SHARED_LAYERS)],
    ["attention.sliding_window", count(WINDOW)],
    [
      "attention.sliding_window_pattern",
      flags(Array.from({ length: shape.numLayers }, (_, layer) => layer % 2 === 0)),
    ],
    ["attention.key_length_swa", count(HEAD_LENGTH)],
    ["attention.value_length_swa", count(HEAD_LENGTH)],
    ["rope.dimension_count_swa", count(HEAD_LENGTH)],
    ["rope.freq_base_swa", float(10_000)],
  ],
  layer(index, shape) {
    const { width, numLayers } = shape;
    const isShared = index >= numLayers - GEMMA4_SHARED_LAYERS;
    const ownKv = attention(shape, {
      outputGain: 1,
      hasHeadNorms: true,
      headNorm: GEMMA4_HEAD_NORM,
    }).filter(([name]) => !isShared || !/^attn_[kv][._]/.test(name));
    return [
      ...gemmaLayer(shape, ownKv),
      ["inp_gate.weight", [width, GEMMA4_INPUT_LENGTH], matrix(1)],
      ["proj.weight", [GEMMA4_INPUT_LENGTH, width], matrix(1)],
      branchNorm("post_norm", shape, 0.5),
    ];
  },
  outer(shape) {
    const { width, numLayers } = shape;
    const inputWidth = GEMMA4_INPUT_LENGTH * numLayers;
    const rotations = Array.from({ length: HEAD_LENGTH / 2 }, (_, i) =>
      i < HEAD_LENGTH / 8 ? 1 : NO_ROTATION,
    );
    return [
      ...tied(shape, gemmaEmbedding(shape)),
      [
        "per_layer_token_embd.weight",
        [inputWidth, SYNTH_VOCABULARY_SIZE],
        embedding(1 / Math.sqrt(GEMMA4_INPUT_LENGTH)),
      ],
      ["per_layer_model_proj.weight", [width, inputWidth], matrix(1)],
      ["per_layer_proj_norm.weight", [GEMMA4_INPUT_LENGTH], constant(1)],
      ["rope_freqs.weight", [HEAD_LENGTH / 2], list(rotations)],
    ];
  },
};

/** Attention and feed-forward side by side; every fourth layer has no window and no positions. */
export const cohere2: SynthFamily = {
  architecture: "cohere2",
  layersPerGroup: 4,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...layerNormMetadata(),
    ["attention.sliding_window", count(WINDOW)],
    ["logit_scale", float(1)],
  ],
  layer: (_, shape) => [norm("attn_norm", shape), ...attention(shape), ...feedForward(shape)],
  outer: (shape) => tied(shape),
};

/** Experts in every layer, and a sink in every head that draws attention from all keys. */
export const gptOss: SynthFamily = {
  architecture: "gpt-oss",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ...expertMetadata(shape),
    ["attention.sliding_window", count(SHORT_WINDOW)],
  ],
  layer(_, shape) {
    const { width, feedForwardLength } = shape;
    const bias = spread(-0.1, 0.1);
    return [
      norm("attn_norm", shape),
      ...attention(shape, { hasBiases: true }),
      ["attn_output.bias", [width], bias],
      ["attn_sinks.weight", [numHeadsOf(shape)], spread(0, 1)],
      norm("post_attention_norm", shape),
      ...experts(shape),
      ["ffn_gate_inp.bias", [NUM_EXPERTS], bias],
      ["ffn_gate_exps.bias", [feedForwardLength, NUM_EXPERTS], bias],
      ["ffn_up_exps.bias", [feedForwardLength, NUM_EXPERTS], bias],
      ["ffn_down_exps.bias", [width, NUM_EXPERTS], bias],
    ];
  },
  outer: (shape) => untied(shape),
};

/** Three layers look at their own 8,192 tokens, the fourth at all; every second has experts. */
export const llama4: SynthFamily = {
  architecture: "llama4",
  layersPerGroup: 4,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ...expertMetadata(shape),
    ["interleave_moe_layer_step", count(2)],
  ],
  layer: (index, shape) => [
    norm("attn_norm", shape),
    ...attention(shape),
    norm("ffn_norm", shape),
    ...(index % 2 === 1 ? [...experts(shape), ...sharedExpert(shape)] : feedForward(shape)),
  ],
  outer: (shape) => untied(shape),
};
