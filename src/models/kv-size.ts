import { atLayer, type LayerKinds, type NumbersAt } from "./layer-kinds.ts";

const F16_BYTES = 2;
const F32_BYTES = 4;

/** Where an indexer picks keys, it has a key of its own for each token. */
const WITH_INDEXER: ReadonlySet<string> = new Set([
  "deepseek32",
  "glm-dsa",
  "minimax-m3",
  "qwen4exp",
]);

/** Memory that is neither rows of tokens nor one state: the size says nothing about one token. */
const OTHER_MEMORY: ReadonlySet<string> = new Set(["deepseek4"]);

/**
 * Bytes of f16 KV that one token takes in all layers.
 *
 * @returns undefined when the file does not say enough
 */
export function kvBytesPerToken(
  architecture: string,
  kinds: LayerKinds | undefined,
  numbersAt: NumbersAt,
): number | undefined {
  const heads = numbersAt("attention.head_count");
  const kvHeads = numbersAt("attention.head_count_kv") ?? heads;
  if (kinds === undefined || OTHER_MEMORY.has(architecture)) return undefined;
  if (heads === undefined || kvHeads === undefined) return undefined;
  const width = numbersAt("embedding_length")?.[0] ?? Number.NaN;
  const headLength = (layer: number): number => width / atLayer(heads, layer);
  const keyLength = numbersAt("attention.key_length")?.[0];
  const valueLength = numbersAt("attention.value_length")?.[0];
  // Multi-head latent attention keeps one compressed row and no values.
  const isLatent = (numbersAt("attention.key_length_mla")?.[0] ?? 0) > 0;
  const indexLength = WITH_INDEXER.has(architecture)
    ? (numbersAt("attention.indexer.key_length")?.[0] ?? Number.NaN)
    : 0;

  let numbers = 0;
  for (let layer = 0; layer < kinds.numLayers; layer++) {
    if (!kinds.hasKv(layer)) continue;
    const keys = keyLength ?? headLength(layer);
    const values = isLatent ? 0 : (valueLength ?? headLength(layer));
    numbers += (isLatent ? 1 : atLayer(kvHeads, layer)) * (keys + values) + indexLength;
  }
  return Number.isFinite(numbers) ? numbers * F16_BYTES : undefined;
}

/**
 * Bytes of the state that layers without KV keep of a sequence, however long it is.
 *
 * @returns 0 for a model without such layers, undefined when the file does not say enough
 */
export function stateBytes(
  architecture: string,
  kinds: LayerKinds | undefined,
  numbersAt: NumbersAt,
): number | undefined {
  if (kinds === undefined || OTHER_MEMORY.has(architecture)) return undefined;
  const layers = Array.from({ length: kinds.numLayers }, (_, layer) => layer);
  const numStates = layers.filter((layer) => kinds.hasState(layer)).length;
  if (numStates === 0) return 0;
  const numbers = numStates * stateNumbers(architecture, numbersAt) + ngramNumbers(numbersAt);
  return Number.isFinite(numbers) ? numbers * F32_BYTES : undefined;
}

/** Of one layer: what a short convolution looks back at, and the state. */
function stateNumbers(architecture: string, numbersAt: NumbersAt): number {
  const one = (key: string): number => numbersAt(key)?.[0] ?? Number.NaN;
  const width = one("embedding_length");
  const numHeads = one("attention.head_count");
  if (numbersAt("wkv.head_size") !== undefined) {
    const numShifts = numbersAt("token_shift_count")?.[0] ?? 2;
    return width * (numShifts + one("wkv.head_size"));
  }
  if (numbersAt("shortconv.l_cache") !== undefined) return width * (one("shortconv.l_cache") - 1);
  if (architecture === "minimax-01") {
    const headLength = numbersAt("attention.key_length")?.[0] ?? width / numHeads;
    return numHeads * headLength ** 2;
  }
  const numTaps = one("ssm.conv_kernel") - 1;
  if (numbersAt("kda.head_dim") !== undefined) {
    const headLength = one("kda.head_dim");
    return numHeads * headLength * (3 * numTaps + headLength);
  }
  const inner = one("ssm.inner_size");
  const state = one("ssm.state_size");
  const numGroups = numbersAt("ssm.group_count")?.[0] ?? 0;
  return numTaps * (inner + 2 * numGroups * state) + inner * state;
}

/** Qwen4 looks up pairs and triples of tokens, whose convolution looks back too. */
function ngramNumbers(numbersAt: NumbersAt): number {
  const numLayers = numbersAt("ple.layers")?.length ?? 0;
  if (numLayers === 0) return 0;
  const one = (key: string): number => numbersAt(key)?.[0] ?? Number.NaN;
  const streams = one("hyper_connection.count") * one("embedding_length");
  return numLayers * (one("ple.conv_kernel") - 1) * one("ple.ngram_size") * streams;
}
