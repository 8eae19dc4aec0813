import { attention, branchGain, norm } from "./attention.ts";
import {
  HEAD_LENGTH,
  isLastOfGroup,
  numHeadsOf,
  numKvHeadsOf,
  type FamilyShape,
  type MetadataRow,
  type SynthFamily,
} from "./family.ts";
import { expertMetadata, experts, feedForward, plainFeedForward } from "./feed-forward.ts";
import { constant, matrix, spread } from "./fill.ts";
import {
  count,
  float,
  layerNormMetadata,
  perLayer,
  rmsNormMetadata,
  transformerMetadata,
} from "./metadata.ts";
import { untied } from "./outer.ts";
import { mamba, mamba2, mamba2Metadata, mambaMetadata, mambaNorms } from "./state-space.ts";

/** Three layers with a state, then one with attention. */
const GROUP = 4;

/** Layers without KV heads are those with a state. */
function hybridMetadata(shape: FamilyShape, layersPerGroup = GROUP): MetadataRow[] {
  return [
    ...transformerMetadata(shape).filter(([key]) => key !== "attention.head_count_kv"),
    [
      "attention.head_count_kv",
      perLayer(shape, (layer) => (isLastOfGroup(layer, layersPerGroup) ? numKvHeadsOf(shape) : 0)),
    ],
  ];
}

export const graniteHybrid: SynthFamily = {
  architecture: "granitehybrid",
  layersPerGroup: GROUP,
  metadata: (shape) => [...hybridMetadata(shape), ...rmsNormMetadata(), ...mamba2Metadata(shape)],
  layer: (index, shape) => [
    norm("attn_norm", shape),
    ...(isLastOfGroup(index, GROUP) ? attention(shape) : mamba2(shape)),
    norm("ffn_norm", shape),
    ...feedForward(shape),
  ],
  outer: (shape) => untied(shape),
};

export const jamba: SynthFamily = {
  architecture: "jamba",
  layersPerGroup: GROUP,
  metadata: (shape) => [...hybridMetadata(shape), ...rmsNormMetadata(), ...mambaMetadata(shape)],
  layer: (index, shape) => [
    norm("attn_norm", shape),
    ...(isLastOfGroup(index, GROUP) ? attention(shape) : [...mamba(shape), ...mambaNorms(shape)]),
    norm("ffn_norm", shape),
    ...feedForward(shape),
  ],
  outer: (shape) => untied(shape),
};

/** Attention and state side by side in every layer. */
export const falconH1: SynthFamily = {
  architecture: "falcon-h1",
  layersPerGroup: 2,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ...mamba2Metadata(shape),
  ],
  layer: (_, shape) => [
    norm("attn_norm", shape),
    ...attention(shape),
    ...mamba2(shape, { hasNorm: false }),
    ["ffn_norm", [shape.width], constant(1)],
    ...feedForward(shape),
  ],
  outer: (shape) => untied(shape),
};

/** One thing in each layer: a state, a feed-forward part, attention, a feed-forward part. */
export const nemotronH: SynthFamily = {
  architecture: "nemotron_h",
  layersPerGroup: GROUP,
  metadata: (shape) => [
    ...transformerMetadata(shape).filter(
      ([key]) => key !== "attention.head_count_kv" && key !== "feed_forward_length",
    ),
    [
      "attention.head_count_kv",
      perLayer(shape, (i) => (i % GROUP === 2 ? numKvHeadsOf(shape) : 0)),
    ],
    ["feed_forward_length", perLayer(shape, (i) => (i % 2 === 1 ? shape.feedForwardLength : 0))],
    ...layerNormMetadata(),
    ...rmsNormMetadata(),
    ...mamba2Metadata(shape),
  ],
  layer(index, shape) {
    const place = index % GROUP;
    const parts = [mamba2, plainFeedForward, attention, plainFeedForward] as const;
    return [norm("attn_norm", shape), ...parts[place]!(shape)];
  },
  outer: (shape) => untied(shape),
};

const SHORT_KERNEL = 3;
/** Of each of the two gated factors that are multiplied. */
const CONV_GAIN = 1.5;

const SHORT_GROUP = 2;

/** A convolution over three tokens in every second layer: its state is two tokens long. */
export const lfm2: SynthFamily = {
  architecture: "lfm2",
  layersPerGroup: SHORT_GROUP,
  metadata: (shape) => [
    ...hybridMetadata(shape, SHORT_GROUP),
    ...rmsNormMetadata(),
    ["shortconv.l_cache", count(SHORT_KERNEL)],
  ],
  layer(index, shape) {
    const { width } = shape;
    return [
      norm("attn_norm", shape),
      ...(isLastOfGroup(index, SHORT_GROUP)
        ? attention(shape, { hasHeadNorms: true })
        : ([
            ["shortconv.in_proj.weight", [width, 3 * width], matrix(1)],
            ["shortconv.conv.weight", [SHORT_KERNEL, width], spread(-CONV_GAIN, CONV_GAIN)],
            ["shortconv.out_proj.weight", [width, width], matrix(branchGain(shape, CONV_GAIN))],
          ] as const)),
      norm("ffn_norm", shape),
      ...feedForward(shape),
    ];
  },
  // It calls its last norm so.
  outer: (shape) =>
    untied(shape).map(([name, size, fill]) => [
      name === "output_norm.weight" ? "token_embd_norm.weight" : name,
      size,
      fill,
    ]),
};

const RESIDUAL_SCALE = 1;
const STATE_OUTPUT_GAIN = 2;

/** Linear attention whose heads forget at fixed rates. */
export const minimax01: SynthFamily = {
  architecture: "minimax-01",
  layersPerGroup: GROUP,
  metadata: (shape) => [
    ...transformerMetadata(shape),
    ...rmsNormMetadata(),
    ...expertMetadata(shape),
    ["residual_scale", float(RESIDUAL_SCALE)],
    ["full_attention_interval", count(GROUP)],
  ],
  layer(index, shape) {
    const { width } = shape;
    const inner = numHeadsOf(shape) * HEAD_LENGTH;
    return [
      norm("attn_norm", shape),
      ...(isLastOfGroup(index, GROUP)
        ? attention(shape)
        : ([
            ["attn_qkv.weight", [width, 3 * inner], matrix(2)],
            norm("attn_norm_2", { ...shape, width: inner }),
            ["attn_gate.weight", [width, inner], matrix(1)],
            ["attn_output.weight", [inner, width], matrix(branchGain(shape, STATE_OUTPUT_GAIN))],
          ] as const)),
      norm("ffn_norm", shape),
      ...experts(shape),
    ];
  },
  outer: (shape) => untied(shape),
};
