import { UsageError } from "../core/index.ts";

/** Reads a flag's value as a whole number between two bounds. */
export function wholeNumber(flag: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(
      `Cannot use ${flag} "${text}": wanted a whole number from ${min} to ${max}`,
      { param: flag },
    );
  };
}

/** Reads a flag's value as a list with commas. */
export function listOf<Value>(parse: (text: string) => Value): (text: string) => Value[] {
  return (text) => text.split(",").map((each) => parse(each.trim()));
}

const FACTORS: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
};

/** Reads a count as vLLM does: 8192, 8k (8,000), 8K (8,192), 25.6k. */
export function tokenCount(flag: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const [, digits, unit] = /^(\d+|\d+\.\d+(?=[a-zA-Z]))([kmgKMG]?)$/.exec(text) ?? [];
    const value = Math.round(Number(digits) * FACTORS[unit ?? ""]!);
    if (value >= min && value <= max) return value;
    throw new UsageError(
      `Cannot use ${flag} "${text}": wanted a whole number from ${min} to ${max}, or such as 8k and 8K`,
      { param: flag },
    );
  };
}

/** vLLM takes "--max_model_len" for "--max-model-len", so its users write both. */
export function hyphenated(argv: readonly string[]): string[] {
  return argv.map((argument) =>
    argument.replace(/^--[a-z0-9_-]+/, (flag) => flag.replaceAll("_", "-")),
  );
}

const MAX_GPU_LAYERS = 10_000;

/** Reads --gpu-layers: how many, or "auto" (all, where there is a GPU), or "all". */
export function gpuLayers(text: string): number | "auto" | "all" {
  if (text === "auto" || text === "all") return text;
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (value <= MAX_GPU_LAYERS) return value;
  throw new UsageError(
    `Cannot use --gpu-layers "${text}": wanted a whole number from 0 to ${MAX_GPU_LAYERS}, auto or all`,
    { param: "--gpu-layers" },
  );
}

/** The types that llama.cpp can keep a KV cache in. */
const KV_CACHE_TYPES = "f32 f16 bf16 q8_0 q4_0 q4_1 q5_0 q5_1 iq4_nl".split(" ");
/** As vLLM calls them. */
const VLLM_TYPES: Readonly<Record<string, string>> = { float16: "f16", bfloat16: "bf16" };

/** Reads --kv-cache-dtype. Undefined: "auto", the engine's choice. */
export function kvCacheType(text: string): string | undefined {
  if (text === "auto") return undefined;
  const type = VLLM_TYPES[text] ?? text;
  if (KV_CACHE_TYPES.includes(type)) return type;
  const hint = text.startsWith("fp8") ? "; q8_0 is what comes nearest" : "";
  throw new UsageError(
    `Cannot use --kv-cache-dtype "${text}": wanted auto, ${KV_CACHE_TYPES.join(", ")}${hint}`,
    { param: "--kv-cache-dtype" },
  );
}
