import { UsageError } from "../core/index.ts";
import { SYNTH_FAMILIES, familyModel } from "./families/index.ts";
import type { GgufValue } from "./gguf.ts";
import { writeGguf, type GgufTensorSource, type WriteProgress } from "./gguf-writer.ts";
import { DEFAULT_SYNTH_FAMILY, checkSynthFamily } from "./synth-name.ts";
import { HEAD_LENGTH, formatParamCount, synthShape, type SynthShape } from "./synth-shape.ts";
import { SYNTH_VOCABULARY_SIZE, synthTokenizerMetadata } from "./synth-tokenizer.ts";
import { type SynthWeightType, storedAs, synthTensors } from "./synth-weights.ts";

/** Counts up whenever the same arguments give other bytes. */
export const SYNTH_VERSION = 2;

export interface SynthesizeModelOptions {
  /** One of synthFamilies(). Default "llama". */
  readonly family?: string | undefined;
  /** About so many; see synthShape and familyModel for how near. */
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
 * Writes a model with random weights, for trying, testing and timing: it takes any text, answers in
 * printable ASCII, and its answer depends on all of the prompt. The same arguments give the same bytes on
 * every machine.
 *
 * @throws UsageError when there is no place to write to, for an unknown family, or for a seed that is not 32 bits
 */
export async function synthesizeModel(
  options: SynthesizeModelOptions,
): Promise<{ readonly numParameters: number }> {
  const { path, type = "q8_0", seed = 0, onProgress, signal } = options;
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff) {
    throw new UsageError(`Cannot use the seed ${seed}: wanted a whole number from 0 to 4294967295`);
  }
  const { architecture, name, numParameters, metadata, tensors } = plan(options);
  await writeGguf(path, {
    metadata: new Map<string, GgufValue>([
      ["general.architecture", { type: "string", value: architecture }],
      ["general.name", { type: "string", value: name }],
      ["general.file_type", { type: "uint32", value: FILE_TYPES[type] }],
      ["general.quantization_version", { type: "uint32", value: QUANTIZATION_VERSION }],
      ["warmkv.synth.version", { type: "uint32", value: SYNTH_VERSION }],
      ["warmkv.synth.seed", { type: "uint32", value: seed }],
      [`${architecture}.vocab_size`, { type: "uint32", value: SYNTH_VOCABULARY_SIZE }],
      ...metadata,
      ...synthTokenizerMetadata(),
    ]),
    tensors: storedAs(type, tensors(seed)),
    onProgress,
    signal,
  });
  return { numParameters };
}

interface SynthPlan {
  readonly architecture: string;
  readonly name: string;
  readonly numParameters: number;
  readonly metadata: readonly [string, GgufValue][];
  /** As they are for q8_0. */
  readonly tensors: (seed: number) => readonly GgufTensorSource[];
}

function plan({ family = DEFAULT_SYNTH_FAMILY, numParams }: SynthesizeModelOptions): SynthPlan {
  const size = formatParamCount(numParams);
  const synthFamily = SYNTH_FAMILIES.get(checkSynthFamily(family));
  if (synthFamily !== undefined) {
    const { architecture } = synthFamily;
    const name = `synth-${family}-${size}`;
    return { architecture, name, ...familyModel(synthFamily, numParams) };
  }
  const shape = synthShape(numParams);
  return {
    architecture: "llama",
    name: `synth-${size}`,
    numParameters: shape.numParameters,
    metadata: llamaMetadata(shape),
    tensors: (seed) => synthTensors(shape, seed),
  };
}

function llamaMetadata(shape: SynthShape): [string, GgufValue][] {
  const count = (value: number): GgufValue => ({ type: "uint32", value });
  const float = (value: number): GgufValue => ({ type: "float32", value });
  return [
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
  ];
}
