import type { GgufValue } from "../../../src/models/gguf.ts";
import { writeGguf, type GgufTensorSource } from "../../../src/models/gguf-writer.ts";

export function floatTensor(name: string, values: readonly number[]): GgufTensorSource {
  const bytes = new Uint8Array(Float32Array.from(values).buffer);
  return { name, shape: [values.length], type: "F32", blocks: () => [bytes] };
}

export const string = (value: string): GgufValue => ({ type: "string", value });
export const count = (value: number): GgufValue => ({ type: "uint32", value });

/** Writes a file of a few bytes that is GGUF in every respect. */
export async function writeTinyModel(
  path: string,
  options: {
    readonly metadata?: readonly [string, GgufValue][];
    readonly tensors?: readonly GgufTensorSource[];
  } = {},
): Promise<void> {
  const {
    metadata = [["general.architecture", string("llama")]],
    tensors = [floatTensor("a.weight", [1, 2, 3]), floatTensor("b.weight", [4])],
  } = options;
  await writeGguf(path, { metadata: new Map(metadata), tensors });
}
