import { attention } from "../../../src/models/families/attention.ts";
import { familyModel, type SynthFamily } from "../../../src/models/families/index.ts";
import type { FamilyShape, TensorRow } from "../../../src/models/families/family.ts";
import { plainFeedForward } from "../../../src/models/families/feed-forward.ts";
import { constant, embedding, spread } from "../../../src/models/families/fill.ts";
import { count, flag, layerNormMetadata } from "../../../src/models/families/metadata.ts";
import { numHeadsOf } from "../../../src/models/families/family.ts";
import { writeGguf } from "../../../src/models/gguf-writer.ts";
import type { GgufValue } from "../../../src/models/gguf.ts";
import {
  SYNTH_VOCABULARY_SIZE,
  synthTokenizerMetadata,
} from "../../../src/models/synth-tokenizer.ts";
import { storedAs } from "../../../src/models/synth-weights.ts";

const BERT_CONTEXT_LENGTH = 512;
const CLS_POOLING = 2;

/** An encoder: each token looks at all of its text. */
const bert: SynthFamily = {
  architecture: "bert",
  layersPerGroup: 1,
  metadata: (shape) => [
    ["context_length", count(BERT_CONTEXT_LENGTH)],
    ["embedding_length", count(shape.width)],
    ["block_count", count(shape.numLayers)],
    ["feed_forward_length", count(shape.feedForwardLength)],
    ["attention.head_count", count(numHeadsOf(shape))],
    ["attention.causal", flag(false)],
    ["pooling_type", count(CLS_POOLING)],
    ...layerNormMetadata(),
  ],
  layer: (_, shape) => [
    ...attention(shape).map((row) => withAllHeads(row, shape)),
    ...layerNorm("attn_output_norm", shape),
    ...plainFeedForward(shape),
    ...layerNorm("layer_output_norm", shape),
  ],
  outer: (shape) => [
    ["token_embd.weight", [shape.width, SYNTH_VOCABULARY_SIZE], embedding(1)],
    ["token_types.weight", [shape.width, 2], embedding(0.1)],
    ["position_embd.weight", [shape.width, BERT_CONTEXT_LENGTH], embedding(0.5)],
    ...layerNorm("token_embd_norm", shape),
  ],
};

/** Writes a random model of half a million parameters. */
export async function writeBert(path: string): Promise<void> {
  const { metadata, tensors } = familyModel(bert, 500_000);
  await writeGguf(path, {
    metadata: new Map<string, GgufValue>([
      ["general.architecture", { type: "string", value: "bert" }],
      ["general.name", { type: "string", value: "bert" }],
      ["tokenizer.ggml.token_type_count", { type: "uint32", value: 2 }],
      ...metadata,
      ...synthTokenizerMetadata(),
    ]),
    tensors: storedAs("f32", tensors(0)),
  });
}

function layerNorm(name: string, { width }: FamilyShape): TensorRow[] {
  return [
    [`${name}.weight`, [width], constant(1)],
    [`${name}.bias`, [width], spread(-0.1, 0.1)],
  ];
}

function withAllHeads([name, size, fill]: TensorRow, { width }: FamilyShape): TensorRow {
  return /attn_[kv]/.test(name) ? [name, [width, width], fill] : [name, size, fill];
}
