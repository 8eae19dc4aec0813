/** The model's own metadata under its architecture: one number, or one for each layer. */
export type NumbersAt = (key: string) => readonly number[] | undefined;

/** What holds a prompt in each layer. */
export interface LayerKinds {
  readonly numLayers: number;
  hasState(layer: number): boolean;
  hasKv(layer: number): boolean;
  hasWindow(layer: number): boolean;
}

/** Every so many layers have full attention, where the file does not say. */
const DEFAULT_ATTENTION_INTERVALS: Readonly<Record<string, number>> = {
  qwen3next: 4,
  qwen35: 4,
  qwen35moe: 4,
  qwen4exp: 4,
  "minimax-01": 8,
};

/** Every so many layers have no window, where the file does not say. */
const DEFAULT_WINDOW_PATTERNS: Readonly<Record<string, number>> = {
  cohere2: 4,
  gemma2: 2,
  gemma3: 6,
  "gpt-oss": 2,
  llama4: 4,
};

/** Windows that the architecture has by itself. */
const DEFAULT_WINDOWS: Readonly<Record<string, number>> = { gemma2: 4096, llama4: 8192 };

/** A state and KV side by side in each layer. */
const BOTH_IN_EACH_LAYER: ReadonlySet<string> = new Set(["falcon-h1"]);
/** Keys of the layers that keep a state. */
const STATE_KEYS = ["ssm.conv_kernel", "wkv.head_size", "shortconv.l_cache"] as const;

/** @returns undefined when the file does not say how many layers there are */
export function layerKinds(architecture: string, numbersAt: NumbersAt): LayerKinds | undefined {
  const numLayers = numbersAt("block_count")?.[0];
  if (numLayers === undefined) return undefined;
  const hasState = stateLayers(architecture, numbersAt, numLayers);
  const kvHeads = numbersAt("attention.head_count_kv") ?? numbersAt("attention.head_count");
  const numOwnKv = numLayers - (numbersAt("attention.shared_kv_layers")?.[0] ?? 0);
  const windowTokens = slidingWindow(architecture, numbersAt) ?? 0;
  const hasKv = (layer: number): boolean =>
    layer < numOwnKv &&
    atLayer(kvHeads ?? [0], layer) > 0 &&
    (!hasState(layer) || BOTH_IN_EACH_LAYER.has(architecture));
  return {
    numLayers,
    hasState,
    hasKv,
    hasWindow: (layer) =>
      windowTokens > 0 && hasKv(layer) && isWindowLayer(architecture, numbersAt, layer),
  };
}

/** Tokens that layers with a window look back at; undefined without such layers. */
export function slidingWindow(architecture: string, numbersAt: NumbersAt): number | undefined {
  const stated = numbersAt("attention.sliding_window")?.[0] ?? DEFAULT_WINDOWS[architecture];
  return stated === 0 ? undefined : stated;
}

function stateLayers(
  architecture: string,
  numbersAt: NumbersAt,
  numLayers: number,
): (layer: number) => boolean {
  const listed = numbersAt("attention.recurrent_layers");
  if (listed?.length === numLayers) return (layer) => listed[layer] === 1;
  const interval =
    numbersAt("full_attention_interval")?.[0] ?? DEFAULT_ATTENTION_INTERVALS[architecture];
  if (interval !== undefined) return (layer) => (layer + 1) % interval !== 0;
  if (!STATE_KEYS.some((key) => numbersAt(key) !== undefined)) return () => false;
  const kvHeads = numbersAt("attention.head_count_kv") ?? [];
  if (kvHeads.length !== numLayers) return () => true;
  const feedForward = numbersAt("feed_forward_length") ?? [];
  // With one thing in each layer, a layer may have neither KV nor a state.
  const isFeedForward = (layer: number): boolean =>
    feedForward.length === numLayers && feedForward[layer]! > 0;
  return (layer) => kvHeads[layer] === 0 && !isFeedForward(layer);
}

function isWindowLayer(architecture: string, numbersAt: NumbersAt, layer: number): boolean {
  const stated = numbersAt("attention.sliding_window_pattern");
  if (stated !== undefined && stated.length > 1) return stated[layer] === 1;
  const pattern = stated?.[0] ?? DEFAULT_WINDOW_PATTERNS[architecture];
  return pattern === undefined || layer % pattern < pattern - 1;
}

export function atLayer(values: readonly number[], layer: number): number {
  return values[layer] ?? values[0]!;
}
