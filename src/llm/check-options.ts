import { UsageError } from "../core/index.ts";
import type { LLMOptions } from "./llm.ts";

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

/** Plain JavaScript has no types to keep a wrong option out. */
export function checkOptions(options: LLMOptions): void {
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
