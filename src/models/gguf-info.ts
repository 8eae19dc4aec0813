import { readGguf, type GgufFile } from "./gguf-reader.ts";
import { numElementsOf, type GgufMetadata } from "./gguf.ts";
import { kvBytesPerToken, stateBytes } from "./kv-size.ts";
import { layerKinds, slidingWindow, type LayerKinds } from "./layer-kinds.ts";
import { modelParts } from "./split-files.ts";

/** What a model file says of itself; undefined for what it does not say. */
export interface GgufInfo {
  readonly name: string | undefined;
  readonly architecture: string | undefined;
  readonly numParameters: number;
  readonly numLayers: number | undefined;
  readonly embeddingLength: number | undefined;
  /** The most that any layer has; so too for numKvHeads. */
  readonly numHeads: number | undefined;
  readonly numKvHeads: number | undefined;
  readonly contextLength: number | undefined;
  /** "Q8_0", "Q4_K_M", ... */
  readonly fileType: string | undefined;
  /** With keys and values in f16. */
  readonly kvBytesPerToken: number | undefined;
  /** Tokens that some layers look back at; undefined when all look at all. */
  readonly slidingWindow: number | undefined;
  /** Layers with keys and values: with a window, and without. */
  readonly numWindowLayers: number | undefined;
  readonly numFullAttentionLayers: number | undefined;
  /** Layers that keep a state of a sequence instead, and how large it is in all of them. */
  readonly numStateLayers: number | undefined;
  readonly stateBytes: number | undefined;
  readonly hasChatTemplate: boolean;
  readonly tokenizerModel: string | undefined;
  readonly vocabularySize: number | undefined;
  /** Of all files together. */
  readonly fileBytes: number;
  readonly numFiles: number;
}

/** llama.cpp's numbers for the mix of types in a file. */
const FILE_TYPES: Readonly<Record<number, string>> = {
  0: "F32",
  1: "F16",
  2: "Q4_0",
  3: "Q4_1",
  7: "Q8_0",
  8: "Q5_0",
  9: "Q5_1",
  10: "Q2_K",
  11: "Q3_K_S",
  12: "Q3_K_M",
  13: "Q3_K_L",
  14: "Q4_K_S",
  15: "Q4_K_M",
  16: "Q5_K_S",
  17: "Q5_K_M",
  18: "Q6_K",
  19: "IQ2_XXS",
  20: "IQ2_XS",
  21: "Q2_K_S",
  22: "IQ3_XS",
  23: "IQ3_XXS",
  24: "IQ1_S",
  25: "IQ4_NL",
  26: "IQ3_S",
  27: "IQ3_M",
  28: "IQ2_S",
  29: "IQ2_M",
  30: "IQ4_XS",
  31: "IQ1_M",
  32: "BF16",
  36: "TQ1_0",
  37: "TQ2_0",
  38: "MXFP4_MOE",
  39: "NVFP4",
  40: "Q1_0",
  41: "Q2_0",
};

/**
 * Reads what `warmkv model info` shows. Any part of a split model stands for all of it.
 *
 * @throws UsageError when the file is missing, not GGUF or cut short
 */
export async function readGgufInfo(path: string): Promise<GgufInfo> {
  const parts = await modelParts(path);
  const files: GgufFile[] = [];
  for (const part of parts) files.push(await readGguf(part));
  // The first part holds the metadata.
  const { metadata } = files[0]!;
  const architecture = stringAt(metadata, "general.architecture");
  const own = (key: string): number[] | undefined => numbersAt(metadata, `${architecture}.${key}`);
  const most = (key: string): number | undefined => {
    const values = own(key);
    return values && Math.max(...values);
  };
  const kinds = layerKinds(architecture ?? "", own);
  const fileType = numbersAt(metadata, "general.file_type")?.[0];
  const tokens = metadata.get("tokenizer.ggml.tokens");
  return {
    name: stringAt(metadata, "general.name"),
    architecture,
    numParameters: sum(files.flatMap((file) => file.tensors.map((t) => numElementsOf(t.shape)))),
    numLayers: most("block_count"),
    embeddingLength: most("embedding_length"),
    numHeads: most("attention.head_count"),
    numKvHeads: most("attention.head_count_kv") ?? most("attention.head_count"),
    contextLength: most("context_length"),
    fileType: fileType === undefined ? undefined : (FILE_TYPES[fileType] ?? `type ${fileType}`),
    kvBytesPerToken: kvBytesPerToken(architecture ?? "", kinds, own),
    slidingWindow: slidingWindow(architecture ?? "", own),
    ...countLayers(kinds),
    stateBytes: stateBytes(architecture ?? "", kinds, own),
    hasChatTemplate: metadata.has("tokenizer.chat_template"),
    tokenizerModel: stringAt(metadata, "tokenizer.ggml.model"),
    vocabularySize: tokens?.type === "array" ? tokens.value.length : undefined,
    fileBytes: sum(files.map((file) => file.fileBytes)),
    numFiles: files.length,
  };
}

function countLayers(
  kinds: LayerKinds | undefined,
): Pick<GgufInfo, "numWindowLayers" | "numFullAttentionLayers" | "numStateLayers"> {
  const count = (isOne: (kinds: LayerKinds, layer: number) => boolean): number | undefined =>
    kinds &&
    Array.from({ length: kinds.numLayers }, (_, layer) => isOne(kinds, layer)).filter(Boolean)
      .length;
  return {
    numWindowLayers: count((all, layer) => all.hasWindow(layer)),
    numFullAttentionLayers: count((all, layer) => all.hasKv(layer) && !all.hasWindow(layer)),
    numStateLayers: count((all, layer) => all.hasState(layer)),
  };
}

function stringAt(metadata: GgufMetadata, key: string): string | undefined {
  const value = metadata.get(key);
  return value?.type === "string" ? value.value : undefined;
}

/** A number as a list of one; some models have a list with one for each layer. */
function numbersAt(metadata: GgufMetadata, key: string): number[] | undefined {
  const value = metadata.get(key)?.value;
  const numbers = (Array.isArray(value) ? value : [value]).map(Number);
  return numbers.length > 0 && numbers.every(Number.isFinite) ? numbers : undefined;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
