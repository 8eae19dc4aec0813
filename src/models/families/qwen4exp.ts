import { attention } from "./attention.ts";
import {
  DELTA_NET_GROUP,
  deltaNet,
  deltaNetGates,
  deltaNetMetadata,
  multimodalSections,
  sharedExpertMetadata,
  weighedExperts,
} from "./delta-net.ts";
import { isLastOfGroup, type FamilyShape, type SynthFamily, type TensorRow } from "./family.ts";
import { expertMetadata } from "./feed-forward.ts";
import { constant, embedding, matrix, smallMatrix, spread } from "./fill.ts";
import { INDEX_LENGTH, NUM_INDEX_HEADS, indexerMetadata } from "./indexer.ts";
import { count, counts, perLayer, wideCounts } from "./metadata.ts";
import { untied } from "./outer.ts";

/** Residual streams side by side, which every branch mixes, reads and writes. */
const NUM_STREAMS = 4;
const LOW_RANK = 8;
/** The layer that also looks up pairs and triples of tokens. */
const NGRAM_LAYER = 0;
const NGRAM_SIZE = 3;
const HEADS_PER_NGRAM = 2;
const NUM_NGRAM_HEADS = (NGRAM_SIZE - 1) * HEADS_PER_NGRAM;
const ROWS_PER_NGRAM_HEAD = 512;
const NGRAM_CONV = 4;
const NGRAM_MULTIPLIERS = [1, 3, 5] as const;
const END_TOKEN = 257;
const SCORE_BLOCK = 4;

/** As Qwen3.5 with experts, and with an indexer in front of attention. */
export const qwen4exp: SynthFamily = {
  architecture: "qwen4exp",
  layersPerGroup: DELTA_NET_GROUP,
  metadata: (shape) => [
    ...deltaNetMetadata(shape),
    multimodalSections(),
    ...expertMetadata(shape),
    sharedExpertMetadata(shape),
    ["hyper_connection.count", count(NUM_STREAMS)],
    ["hyper_connection.low_rank", count(LOW_RANK)],
    ...indexerMetadata(),
    ["attention.compress_ratios", perLayer(shape, () => SCORE_BLOCK)],
    ["embedding_length_per_layer_input", count(ngramLength(shape))],
    ["ple.layers", counts([NGRAM_LAYER])],
    ["ple.ngram_size", count(NGRAM_SIZE)],
    ["ple.heads_per_ngram", count(HEADS_PER_NGRAM)],
    ["ple.conv_kernel", count(NGRAM_CONV)],
    ["ple.layer_multipliers", wideCounts(NGRAM_MULTIPLIERS)],
    ["ple.head_offsets", wideCounts(ngramHeads((head) => head * ROWS_PER_NGRAM_HEAD))],
    ["ple.head_vocab_sizes", wideCounts(ngramHeads(() => ROWS_PER_NGRAM_HEAD))],
    ["ple.eos_token_id", count(END_TOKEN)],
  ],
  layer(index, shape) {
    const { width } = shape;
    const mixer: TensorRow[] = isLastOfGroup(index, DELTA_NET_GROUP)
      ? [
          ...attention(shape, { hasHeadNorms: true, isGated: true }),
          ["indexer.q_proj.weight", [width, NUM_INDEX_HEADS * INDEX_LENGTH], matrix(1)],
          ["indexer.k_proj.weight", [width, INDEX_LENGTH], matrix(1)],
          ["indexer.q_norm.weight", [INDEX_LENGTH], constant(1)],
          ["indexer.k_norm.weight", [INDEX_LENGTH], constant(1)],
        ]
      : [...deltaNet(shape), ...deltaNetGates(shape)];
    return [
      ...gatedMix("attn", shape),
      ...mixer,
      ...gatedMix("ffn", shape),
      ...weighedExperts(shape),
      ...(index === NGRAM_LAYER ? ngrams(shape) : []),
    ];
  },
  outer: (shape) => [
    ...untied(shape).filter(([name]) => name !== "output_norm.weight"),
    ...lowRankGate("output_hc", shape),
    [
      "per_layer_token_embd.weight",
      [ngramLength(shape), NUM_NGRAM_HEADS * ROWS_PER_NGRAM_HEAD],
      embedding(1),
    ],
  ],
};

/** Side by side they are as wide as the model. */
function ngramLength({ width }: FamilyShape): number {
  return width / NUM_NGRAM_HEADS;
}

function ngramHeads(valueAt: (head: number) => number): number[] {
  return Array.from({ length: NUM_NGRAM_HEADS }, (_, head) => valueAt(head));
}

/** The gate lets half through; its norm makes up for that. */
function lowRankGate(prefix: string, { width }: FamilyShape): TensorRow[] {
  const streams = NUM_STREAMS * width;
  return [
    [`${prefix}_norm.weight`, [width, NUM_STREAMS], constant(2)],
    [`${prefix}_down.weight`, [streams, LOW_RANK], smallMatrix(1)],
    [`${prefix}_up.weight`, [LOW_RANK, streams], smallMatrix(1)],
  ];
}

function gatedMix(branch: string, shape: FamilyShape): TensorRow[] {
  return [
    ...lowRankGate(`hc_${branch}`, shape),
    [`hc_${branch}_inject.weight`, [NUM_STREAMS * shape.width, NUM_STREAMS], smallMatrix(1)],
  ];
}

function ngrams({ width }: FamilyShape): TensorRow[] {
  const streams = NUM_STREAMS * width;
  return [
    ["ple_key.weight", [width, streams], matrix(1)],
    ["ple_value.weight", [width, width], matrix(1)],
    ["ple_norm_key.weight", [width, NUM_STREAMS], constant(1)],
    ["ple_norm_query.weight", [width, NUM_STREAMS], constant(1)],
    ["ple_norm_conv.weight", [width, NUM_STREAMS], constant(1)],
    ["ple_conv1d.weight", [NGRAM_CONV, streams], spread(-0.5, 0.5)],
  ];
}
