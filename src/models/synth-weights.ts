import { decodeFloat16, encodeFloat16 } from "../core/index.ts";
import type { GgufTensorSource } from "./gguf-writer.ts";
import { GGUF_TENSOR_TYPES } from "./gguf.ts";
import { RandomWords } from "./random-words.ts";
import { HEAD_LENGTH, type SynthShape } from "./synth-shape.ts";
import { SYNTH_VOCABULARY_SIZE, isReadableToken } from "./synth-tokenizer.ts";

/**
 * How far outputs of each kind of matrix deviate for inputs of deviation 1, found by trying. What
 * they must give: an answer that depends on every part of an 8,000-token prompt and does not fall
 * into repeating itself. Sharper attention also makes answers depend on rounding.
 */
const GAIN = {
  embedding: 1,
  /** Their product is the deviation of attention scores: a query looks at 3 or 4 keys of 8,000. */
  query: 2.75,
  key: 2.75,
  value: 1,
  /** Of all layers together, as is `down`: the residual stream stays near the deviation 1. */
  attentionOutput: 1,
  gate: 1,
  up: 1,
  down: 0.5,
  /** Sampling at temperature 1 then prefers a few tokens, and hardly ever takes one with logit 0. */
  output: 4.5,
} as const;

/** The part of each output row that is its token's embedding, negated: no token calls for itself. */
const AVERSION_PART = 1 / 8;

const { blockSize: BLOCK_SIZE, blockBytes: BLOCK_BYTES } = GGUF_TENSOR_TYPES.Q8_0;
/** Blocks are made in pairs, which are whole 32-bit words: two scales and 64 numbers. */
const PAIR_WORDS = (2 * BLOCK_BYTES) / 4;
const SECOND_SCALE_AT = 8;
const PAIRS_PER_WRITE = 16_384;
/** Sets the lowest bit of each byte: odd numbers from -127 to 127, as many below zero as above. */
const ODD = 0x01010101;
const ODD_DEVIATION: number = Math.sqrt((128 * 128 - 1) / 3);

/** How the matrices are stored. The numbers are the same. */
export type SynthWeightType =
  /** Eight bits: fast, and llama.cpp rounds activations to eight bits too, which makes rounding errors grow. */
  | "q8_0"
  /** For comparing answers of which the last bits may differ: errors stay a thousand times smaller. */
  | "f32";

/** @param tensors as they are for q8_0 */
export function storedAs(
  type: SynthWeightType,
  tensors: readonly GgufTensorSource[],
): readonly GgufTensorSource[] {
  return type === "q8_0" ? tensors : tensors.map(withoutQuantization);
}

/** Of the llama family, as they are for q8_0. */
export function synthTensors(shape: SynthShape, seed: number): GgufTensorSource[] {
  const { numLayers, embeddingLength: width, feedForwardLength } = shape;
  const attentionWidth = shape.numHeads * HEAD_LENGTH;
  const kvWidth = shape.numKvHeads * HEAD_LENGTH;
  const perLayer = 1 / Math.sqrt(numLayers);
  const linear = (name: string, columns: number, rows: number, gain: number): GgufTensorSource =>
    randomMatrix(seed, name, columns, rows, gain / Math.sqrt(columns));

  const tensors = [
    randomMatrix(seed, "token_embd.weight", width, SYNTH_VOCABULARY_SIZE, GAIN.embedding),
  ];
  for (let layer = 0; layer < numLayers; layer++) {
    const block = `blk.${layer}`;
    tensors.push(
      norm(`${block}.attn_norm.weight`, width),
      linear(`${block}.attn_q.weight`, width, attentionWidth, GAIN.query),
      linear(`${block}.attn_k.weight`, width, kvWidth, GAIN.key),
      linear(`${block}.attn_v.weight`, width, kvWidth, GAIN.value),
      linear(`${block}.attn_output.weight`, attentionWidth, width, GAIN.attentionOutput * perLayer),
      norm(`${block}.ffn_norm.weight`, width),
      linear(`${block}.ffn_gate.weight`, width, feedForwardLength, GAIN.gate),
      linear(`${block}.ffn_up.weight`, width, feedForwardLength, GAIN.up),
      linear(`${block}.ffn_down.weight`, feedForwardLength, width, GAIN.down * perLayer),
    );
  }
  tensors.push(norm("output_norm.weight", width), averseOutput(seed, width));
  return tensors;
}

function norm(name: string, length: number): GgufTensorSource {
  const ones = new Float32Array(length).fill(1);
  return { name, shape: [length], type: "F32", blocks: () => [new Uint8Array(ones.buffer)] };
}

/** Random weights of the given deviation, Q8_0 with one scale for all. */
export function randomMatrix(
  seed: number,
  name: string,
  columns: number,
  rows: number,
  deviation: number,
): GgufTensorSource {
  const blocks = (): Iterable<Uint8Array> =>
    randomBlocks(
      new RandomWords(seed, name),
      (columns * rows) / BLOCK_SIZE,
      encodeFloat16(scaleFor(deviation)),
    );
  return { name, shape: [columns, rows], type: "Q8_0", blocks };
}

/**
 * Rows of unreadable tokens are zero, and so are their logits: one of about a hundred others is
 * larger, so that greedy answers can be read and do not end by themselves.
 */
export function averseOutput(seed: number, width: number): GgufTensorSource {
  const deviation = GAIN.output / Math.sqrt(width);
  const own = randomMatrix(seed, "output.weight", width, SYNTH_VOCABULARY_SIZE, deviation);
  const embedding = randomMatrix(
    seed,
    "token_embd.weight",
    width,
    SYNTH_VOCABULARY_SIZE,
    -deviation,
  );
  const blocks = (): Iterable<Uint8Array> => {
    const bytes = allBytes(own);
    const averse = allBytes(embedding);
    const rowBytes = (width / BLOCK_SIZE) * BLOCK_BYTES;
    for (let token = 0; token < SYNTH_VOCABULARY_SIZE; token++) {
      const start = token * rowBytes;
      if (isReadableToken(token)) {
        bytes.set(averse.subarray(start, start + rowBytes * AVERSION_PART), start);
      } else {
        bytes.fill(0, start, start + rowBytes);
      }
    }
    return [bytes];
  };
  return { ...own, blocks };
}

export function allBytes(tensor: GgufTensorSource): Uint8Array {
  return Buffer.concat(Array.from(tensor.blocks(), (block) => block.slice()));
}

function* randomBlocks(
  random: RandomWords,
  numBlocks: number,
  scale: number,
): Generator<Uint8Array> {
  const buffer = new Uint32Array(Math.min(numBlocks / 2, PAIRS_PER_WRITE) * PAIR_WORDS);
  for (let pair = 0; pair < numBlocks / 2; pair += PAIRS_PER_WRITE) {
    const numPairs = Math.min(PAIRS_PER_WRITE, numBlocks / 2 - pair);
    const words = buffer.subarray(0, numPairs * PAIR_WORDS);
    random.fill(words);
    for (let i = 0; i < words.length; i++) words[i]! |= ODD;
    for (let i = 0; i < words.length; i += PAIR_WORDS) {
      words[i] = (words[i]! & 0xffff0000) | scale;
      words[i + SECOND_SCALE_AT] = (words[i + SECOND_SCALE_AT]! & 0xffff) | (scale << 16);
    }
    yield new Uint8Array(words.buffer, 0, words.byteLength);
  }
}

/** Of each block of a matrix, before it is stored in 16 bits. */
export function scaleFor(deviation: number): number {
  return deviation / ODD_DEVIATION;
}

function withoutQuantization(tensor: GgufTensorSource): GgufTensorSource {
  if (tensor.type !== "Q8_0") return tensor;
  return { ...tensor, type: "F32", blocks: () => dequantizedBlocks(tensor) };
}

function* dequantizedBlocks(tensor: GgufTensorSource): Generator<Uint8Array> {
  for (const bytes of tensor.blocks()) {
    const blocks = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const numBlocks = blocks.length / BLOCK_BYTES;
    const numbers = Buffer.alloc(numBlocks * BLOCK_SIZE * Float32Array.BYTES_PER_ELEMENT);
    for (let block = 0; block < numBlocks; block++) {
      const start = block * BLOCK_BYTES;
      const scale = decodeFloat16(blocks.readUInt16LE(start));
      for (let i = 0; i < BLOCK_SIZE; i++) {
        const number = scale * blocks.readInt8(start + 2 + i);
        numbers.writeFloatLE(number, (block * BLOCK_SIZE + i) * 4);
      }
    }
    yield numbers;
  }
}
