import type { Answer } from "../openai/index.ts";

/**
 * Of each row of `bestOf` answers the `numChoices` whose tokens are likeliest on average, likeliest first;
 * all of them in their order where that is as many.
 */
export function likeliestAnswers(
  answers: readonly Answer[],
  bestOf: number,
  numChoices: number,
): readonly Answer[] {
  if (bestOf === numChoices) return answers;
  const chosen: Answer[] = [];
  for (let start = 0; start < answers.length; start += bestOf) {
    const row = answers.slice(start, start + bestOf);
    row.sort((a, b) => meanLogprob(b) - meanLogprob(a));
    chosen.push(...row.slice(0, numChoices));
  }
  return chosen;
}

function meanLogprob({ logprobs }: Answer): number {
  const sum = logprobs.reduce((total, { logprob }) => total + logprob, 0);
  return sum / Math.max(1, logprobs.length);
}
