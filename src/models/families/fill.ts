import { encodeFloat16 } from "../../core/index.ts";
import type { GgufTensorSource } from "../gguf-writer.ts";
import { GGUF_TENSOR_TYPES, numElementsOf } from "../gguf.ts";
import { RandomWords } from "../random-words.ts";
import { isReadableToken } from "../synth-tokenizer.ts";
import { allBytes, averseOutput, randomMatrix, scaleFor } from "../synth-weights.ts";
import type { Fill } from "./family.ts";

const { blockSize: BLOCK_SIZE, blockBytes: BLOCK_BYTES } = GGUF_TENSOR_TYPES.Q8_0;
const TWO_TO_32 = 2 ** 32;
const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Where the output shares the embedding's rows: those of unreadable tokens call less than others. */
const UNREADABLE_PART = 1 / 4;

/** The same number everywhere. */
export function constant(value: number): Fill {
  return values((numbers) => numbers.fill(value));
}

export function list(numbers: readonly number[]): Fill {
  return values((target) => target.set(numbers));
}

/** Random numbers, spread evenly over a range. Always 32 bits, as converters keep small tensors. */
export function spread(from: number, to: number): Fill {
  return values((numbers, random) => {
    const words = new Uint32Array(numbers.length);
    random.fill(words);
    for (const [i, word] of words.entries()) numbers[i] = from + (to - from) * (word / TWO_TO_32);
  });
}

/** A matrix whose outputs deviate by `gain` for inputs of deviation 1, in 32 bits. */
export function smallMatrix(gain: number): Fill {
  return (tensor, seed) => {
    const bound = gain * Math.sqrt(3 / tensor.shape[0]!);
    return spread(-bound, bound)(tensor, seed);
  };
}

/** The same, stored as the model's matrices are. */
export function matrix(gain: number): Fill {
  return (tensor, seed) => {
    const columns = tensor.shape[0]!;
    if (columns % BLOCK_SIZE !== 0) throw new Error(`${tensor.name} has rows of ${columns}`);
    const rows = numElementsOf(tensor.shape) / columns;
    const deviation = gain / Math.sqrt(columns);
    return { ...randomMatrix(seed, tensor.name, columns, rows, deviation), shape: tensor.shape };
  };
}

/** Rows of numbers that deviate by so much. */
export function embedding(deviation: number): Fill {
  return (tensor, seed) =>
    randomMatrix(seed, tensor.name, tensor.shape[0]!, tensor.shape[1]!, deviation);
}

/** An embedding that is the output too. */
export function tiedEmbedding(deviation: number): Fill {
  return (tensor, seed) => {
    const source = embedding(deviation)(tensor, seed);
    const scale = encodeFloat16(scaleFor(deviation) * UNREADABLE_PART);
    const blocks = (): Iterable<Uint8Array> => {
      const bytes = Buffer.from(allBytes(source));
      const rowBytes = (tensor.shape[0]! / BLOCK_SIZE) * BLOCK_BYTES;
      for (let start = 0; start < bytes.length; start += BLOCK_BYTES) {
        if (!isReadableToken(Math.floor(start / rowBytes))) bytes.writeUInt16LE(scale, start);
      }
      return [bytes];
    };
    return { ...source, blocks };
  };
}

/** See averseOutput. */
export const output: Fill = (tensor, seed) => averseOutput(seed, tensor.shape[0]!);

/** As many numbers above zero as below, all of one size. */
export function signs(size: number): Fill {
  return values((numbers, random) => {
    const words = new Uint32Array(numbers.length);
    random.fill(words);
    for (let i = 0; i < numbers.length; i++) {
      // Each pair has both signs, in an order of its own.
      const isNegative = (words[i >> 1]! & 1) === (i & 1);
      numbers[i] = isNegative ? -size : size;
    }
  });
}

function values(write: (numbers: Float32Array, random: RandomWords) => void): Fill {
  return ({ name, shape }, seed): GgufTensorSource => {
    const blocks = (): Iterable<Uint8Array> => {
      const numbers = new Float32Array(numElementsOf(shape));
      write(numbers, new RandomWords(seed, name));
      return [new Uint8Array(numbers.buffer, 0, numbers.length * FLOAT_BYTES)];
    };
    return { name, shape, type: "F32", blocks };
  };
}
