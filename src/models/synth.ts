import { UsageError } from "../core/index.ts";
import type { GgufValue } from "./gguf.ts";
import { writeGguf, type WriteProgress } from "./gguf-writer.ts";
import { HEAD_LENGTH, formatParamCount, synthShape, type SynthShape } from "./synth-shape.ts";
import { SYNTH_VOCABULARY_SIZE, synthTokenizerMetadata } from "./synth-tokenizer.ts";
import { type SynthWeightType, synthTensors } from "./synth-weights.ts";

/** Counts up whenever the same arguments give other bytes. */
export const SYNTH_VERSION = 2;

export interface SynthesizeModelOptions {
  /** About so many; see synthShape for how near. */
  readonly numParams: number;
  readonly path: string;
  /** Default q8_0. */
  readonly type?: SynthWeightType | undefined;
  /** 32 bits. Default 0. */
  readonly seed?: number | undefined;
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const CONTEXT_LENGTH = 131_072;
const ROPE_BASE = 500_000;
const NORM_EPSILON = 1e-5;
/** llama.cpp's numbers for what most of a file is. */
const FILE_TYPES: Readonly<Record<SynthWeightType, number>> = { f32: 0, q8_0: 7 };
const QUANTIZATION_VERSION = 2;

/**
 * Writes a model of the llama architecture with random weights, for trying, testing and timing: it
 * takes any text, answers in printable ASCII, and its answer depends on all of the prompt. The same
 * arguments give the same bytes on every machine.
 *
 * @throws UsageError when there is no place to write to, or for a seed that is not 32 bits
 */
export async function synthesizeModel(options: SynthesizeModelOptions): Promise<SynthShape> {
  const { numParams, path, type = "q8_0", seed = 0, onProgress, signal } = options;
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) {
    throw new UsageError(`Cannot use the seed ${seed}: wanted a whole number from 0 to 4294967295`);
  }
  const shape = synthShape(numParams);
  await writeGguf(path, {
    metadata: synthMetadata(shape, formatParamCount(numParams), type, seed),
    tensors: synthTensors(shape, seed, type),
    onProgress,
    signal,
  });
  return shape;
}

function synthMetadata(
  shape: SynthShape,
  size: string,
  type: SynthWeightType,
  seed: number,
): Map<string, GgufValue> {
  const string = (value: string): GgufValue => ({ type: "string", value });
  const count = (value: number): GgufValue => ({ type: "uint32", value });
  const float = (value: number): GgufValue => ({ type: "float32", value });
  return new Map<string, GgufValue>([
    ["general.architecture", string("llama")],
    ["general.name", string(`synth-${size}`)],
    ["general.file_type", count(FILE_TYPES[type])],
    ["general.quantization_version", count(QUANTIZATION_VERSION)],
    ["warmkv.synth.version", count(SYNTH_VERSION)],
    ["warmkv.synth.seed", count(seed)],
    ["llama.vocab_size", count(SYNTH_VOCABULARY_SIZE)],
    ["llama.context_length", count(CONTEXT_LENGTH)],
    ["llama.embedding_length", count(shape.embeddingLength)],
    ["llama.block_count", count(shape.numLayers)],
    ["llama.feed_forward_length", count(shape.feedForwardLength)],
    ["llama.attention.head_count", count(shape.numHeads)],
    ["llama.attention.head_count_kv", count(shape.numKvHeads)],
    ["llama.attention.key_length", count(HEAD_LENGTH)],
    ["llama.attention.value_length", count(HEAD_LENGTH)],
    ["llama.attention.layer_norm_rms_epsilon", float(NORM_EPSILON)],
    ["llama.rope.dimension_count", count(HEAD_LENGTH)],
    ["llama.rope.freq_base", float(ROPE_BASE)],
    ...synthTokenizerMetadata(),
  ]);
}
