import type { SampledToken, ScoredToken, StepItem, StepResult } from "../model-runner.ts";
import type { LlamaContext } from "./context.ts";
import type { LlamaSampler } from "./sampler.ts";

/** One forward pass: items -> batch -> decode -> a token for each item that wants one. */
export class Forward {
  readonly #context: LlamaContext;
  readonly #endTokens: readonly number[];

  constructor(context: LlamaContext, endTokens: readonly number[]) {
    this.#context = context;
    this.#endTokens = endTokens;
  }

  run(items: readonly StepItem[], samplers: ReadonlyMap<string, LlamaSampler>): StepResult {
    const outputs = this.#fillBatch(items);
    const status = this.#context.decode();
    if (status !== 0) return { sampled: [], status: status === 1 ? "full" : "failed" };
    const scored = items.flatMap((item, i) =>
      item.scores === undefined ? [] : [this.#score(item.scores, outputs[i]!)],
    );
    const sampled: SampledToken[] = [];
    for (const [i, item] of items.entries()) {
      if (item.samplerId === undefined) continue;
      sampled.push(this.#pick(item, outputs[i]!, samplers.get(item.samplerId)!));
    }
    return { sampled, status: "ok", ...(scored.length > 0 && { scored }) };
  }

  /** @returns for each item the place of its last token in the batch */
  #fillBatch(items: readonly StepItem[]): number[] {
    const { batch } = this.#context;
    batch.clear();
    return items.map((item) => {
      const last = item.tokens.length - 1;
      let place = 0;
      for (let i = 0; i <= last; i++) {
        const isSampled = i === last && item.samplerId !== undefined;
        const wantsOutput = isSampled || item.scores !== undefined;
        place = batch.add(item.tokens[i]!, item.start + i, item.sequence, wantsOutput);
      }
      return place;
    });
  }

  /** @param lastOutput the place of the item's last token in the batch */
  #score(
    { following, numTop }: NonNullable<StepItem["scores"]>,
    lastOutput: number,
  ): ScoredToken[] {
    const firstOutput = lastOutput - following.length + 1;
    return Array.from(following, (token, i) => {
      const logits = this.#context.logits(firstOutput + i);
      return { token, ...logprobs(logits, token, numTop), rank: rankOf(logits, token) };
    });
  }

  #pick(item: StepItem, output: number, sampler: LlamaSampler): SampledToken {
    if (item.suppressEnd) this.#context.maskLogits(output, this.#endTokens);
    // Before sampling: a sampler may reorder what it was given.
    const logits = item.numLogprobs === undefined ? undefined : this.#context.logits(output);
    const token = sampler.sample(this.#context.native, output);
    return logits === undefined
      ? { token }
      : { token, ...logprobs(logits, token, item.numLogprobs!) };
  }
}

/** The step behind this one: each item computes the token that was picked for it. */
export function followingItems(items: readonly StepItem[], { sampled }: StepResult): StepItem[] {
  return items.map((item, i) => ({
    ...item,
    tokens: Int32Array.of(sampled[i]!.token),
    start: item.start + item.tokens.length,
  }));
}

function logprobs(
  logits: Float32Array,
  token: number,
  numTop: number,
): { readonly logprob: number; readonly top: (readonly [number, number])[] } {
  let max = -Infinity;
  for (const logit of logits) max = Math.max(max, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - max);
  const logNormalizer = max + Math.log(sum);
  return {
    logprob: logits[token]! - logNormalizer,
    top: topIndices(logits, numTop).map(
      (index) => [index, logits[index]! - logNormalizer] as const,
    ),
  };
}

function rankOf(logits: Float32Array, token: number): number {
  const own = logits[token]!;
  return 1 + logits.reduce((count, logit) => count + (logit > own ? 1 : 0), 0);
}

/** The indices of the `count` greatest values, greatest first. */
function topIndices(values: Float32Array, count: number): number[] {
  const top: number[] = [];
  for (let i = 0; i < values.length && count > 0; i++) {
    if (top.length === count && values[i]! <= values[top[count - 1]!]!) continue;
    let place = top.length;
    while (place > 0 && values[top[place - 1]!]! < values[i]!) place--;
    top.splice(place, 0, i);
    top.length = Math.min(top.length, count);
  }
  return top;
}
