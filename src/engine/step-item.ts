import type { StepItem } from "./model-runner.ts";
import type { ScheduledChunk } from "./scheduler.ts";

/** A scheduled chunk as the runner wants it. */
export function stepItemOf({ sequence, start, end, isComplete }: ScheduledChunk): StepItem {
  const { sampling } = sequence;
  return {
    sequence: sequence.slot!,
    tokens: sequence.tokens.slice(start, end),
    start,
    module: sequence.module,
    samplerId: isComplete ? sequence.id : undefined,
    suppressEnd: sampling.ignoreEos || sequence.numGenerated < sampling.minTokens,
    numLogprobs: sampling.numLogprobs,
  };
}
