import type { StepItem } from "./model-runner.ts";
import { type ScheduledChunk, isScored } from "./scheduler.ts";

/** A scheduled chunk as the runner wants it. */
export function stepItemOf({ sequence, start, end, isComplete }: ScheduledChunk): StepItem {
  const { sampling } = sequence;
  const { numPromptLogprobs: numTop } = sampling;
  return {
    sequence: sequence.slot!,
    tokens: sequence.tokens.slice(start, end),
    start,
    module: sequence.module,
    samplerId: isComplete ? sequence.id : undefined,
    suppressEnd: sampling.ignoreEos || sequence.numGenerated < sampling.minTokens,
    numLogprobs: sampling.numLogprobs,
    // The last token of the prompt, which comes alone, has nothing behind it.
    scores:
      isComplete || numTop === undefined || !isScored(sequence)
        ? undefined
        : { following: sequence.tokens.slice(start + 1, end + 1), numTop },
  };
}
