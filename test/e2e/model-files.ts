import { open } from "node:fs/promises";
import type { GgufTensorSource } from "../../src/models/gguf-writer.ts";
import { writeGguf } from "../../src/models/gguf-writer.ts";
import { readGguf, type GgufFile } from "../../src/models/gguf-reader.ts";
import { type GgufValue, tensorTypeOf } from "../../src/models/gguf.ts";

const string = (value: string): GgufValue => ({ type: "string", value });

/** Writes a LoRA adapter of random numbers for some of a model's matrices. */
export async function writeAdapter(
  path: string,
  model: string,
  options: { readonly seed?: number; readonly architecture?: string; readonly rank?: number } = {},
): Promise<void> {
  const { seed = 1, architecture = "llama", rank = 4 } = options;
  let state = seed;
  const random = (): number => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const matrix = (name: string, columns: number, rows: number): GgufTensorSource => {
    const numbers = Float32Array.from({ length: columns * rows }, () => random() / 2);
    const bytes = new Uint8Array(numbers.buffer);
    return { name, shape: [columns, rows], type: "F32", blocks: () => [bytes] };
  };
  const { tensors } = await readGguf(model);
  const adapted = tensors.filter(({ name }) => /attn_(q|v|output)\.weight$/.test(name));
  await writeGguf(path, {
    metadata: new Map<string, GgufValue>([
      ["general.type", string("adapter")],
      ["general.architecture", string(architecture)],
      ["adapter.type", string("lora")],
      ["adapter.lora.alpha", { type: "float32", value: rank }],
    ]),
    tensors: adapted.flatMap(({ name, shape: [columns, rows] }) => [
      matrix(`${name}.lora_a`, columns!, rank),
      matrix(`${name}.lora_b`, rank, rows!),
    ]),
  });
}

/** Cuts a model into parts as llama-gguf-split does. @returns their paths, in order */
export async function splitModel(model: string, stem: string, numParts: number): Promise<string[]> {
  const file = await readGguf(model);
  const perPart = Math.ceil(file.tensors.length / numParts);
  const paths: string[] = [];
  for (let part = 0; part < numParts; part++) {
    const digits = (number: number): string => String(number).padStart(5, "0");
    const path = `${stem}-${digits(part + 1)}-of-${digits(numParts)}.gguf`;
    const count = (value: number): GgufValue => ({ type: "uint16", value });
    await writeGguf(path, {
      metadata: new Map<string, GgufValue>([
        ...(part === 0 ? file.metadata : []),
        ["split.no", count(part)],
        ["split.count", count(numParts)],
        ["split.tensors.count", { type: "int32", value: file.tensors.length }],
      ]),
      tensors: await tensorsOf(file, part * perPart, (part + 1) * perPart),
    });
    paths.push(path);
  }
  return paths;
}

async function tensorsOf(file: GgufFile, from: number, to: number): Promise<GgufTensorSource[]> {
  const handle = await open(file.path);
  try {
    const tensors: GgufTensorSource[] = [];
    for (const { name, shape, typeId, byteLength, offset } of file.tensors.slice(from, to)) {
      const bytes = new Uint8Array(byteLength!);
      await handle.read(bytes, 0, bytes.length, file.dataOffset + offset);
      tensors.push({ name, shape, type: tensorTypeOf(typeId)!, blocks: () => [bytes] });
    }
    return tensors;
  } finally {
    await handle.close();
  }
}
