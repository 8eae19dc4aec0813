import { UsageError } from "../core/index.ts";
import type { LLMOptions } from "./llm.ts";

/** All there are: the compiler knows if one is missing. */
const NAMES: Readonly<Record<keyof LLMOptions, true>> = {
  cache: true,
  maxModelLen: true,
  maxNumSeqs: true,
  maxNumBatchedTokens: true,
  enablePrefixCaching: true,
  enableChunkedPrefill: true,
  ctxSize: true,
  threads: true,
  gpuLayers: true,
  kvCacheDtype: true,
  lora: true,
  loraModules: true,
  embeddings: true,
  seed: true,
  chatTemplate: true,
  revision: true,
  downloadDir: true,
  onProgress: true,
  signal: true,
  logger: true,
};

/** Options that are whole numbers, and the least each may be. */
const COUNTS = {
  maxModelLen: 1,
  maxNumSeqs: 1,
  maxNumBatchedTokens: 1,
  ctxSize: 1,
  threads: 1,
  seed: 0,
} as const satisfies Partial<Record<keyof LLMOptions, number>>;

const EMBEDDINGS: readonly LLMOptions["embeddings"][] = [
  undefined,
  true,
  false,
  "mean",
  "cls",
  "last",
];

export function checkModelName(model: unknown): void {
  if (typeof model === "string" && model !== "") return;
  throw new UsageError(
    `Cannot use ${JSON.stringify(model)} as a model: wanted a path to a .gguf file, owner/repo, or synth:25m`,
    { param: "model" },
  );
}

/** Plain JavaScript has no types to keep a wrong option out. */
export function checkOptions(options: LLMOptions): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(NAMES, name)) continue;
    const known = Object.keys(NAMES).join(", ");
    throw new UsageError(`Unknown option "${name}": wanted one of ${known}`, { param: name });
  }
  for (const [name, min] of Object.entries(COUNTS)) {
    checkCount(name, options[name as keyof typeof COUNTS], min);
  }
  const { gpuLayers } = options;
  if (gpuLayers !== "auto" && gpuLayers !== "all") {
    checkCount("gpuLayers", gpuLayers, 0, ', "auto" or "all"');
  }
  const { embeddings } = options;
  if (!EMBEDDINGS.includes(embeddings)) {
    throw new UsageError(
      `Cannot use embeddings ${JSON.stringify(embeddings)}: wanted true, false, "mean", "cls" or "last"`,
      { param: "embeddings" },
    );
  }
}

function checkCount(name: string, value: unknown, min: number, others = ""): void {
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= min)) return;
  throw new UsageError(
    `Cannot use ${name} ${JSON.stringify(value)}: wanted a whole number, at least ${min}${others}`,
    { param: name },
  );
}
