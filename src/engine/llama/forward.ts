import type { SampledToken, StepItem, StepResult } from "../model-runner.ts";
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
    const sampled: SampledToken[] = [];
    for (const [i, item] of items.entries()) {
      if (item.samplerId === undefined) continue;
      sampled.push(this.#pick(item, outputs[i]!, samplers.get(item.samplerId)!));
    }
    return { sampled, status: "ok" };
  }

  /** @returns for each item the place of its last token in the batch */
  #fillBatch(items: readonly StepItem[]): number[] {
    const { batch } = this.#context;
    batch.clear();
    return items.map((item) => {
      const last = item.tokens.length - 1;
      let place = 0;
      for (let i = 0; i <= last; i++) {
        const wantsOutput = i === last && item.samplerId !== undefined;
        place = batch.add(item.tokens[i]!, item.start + i, item.sequence, wantsOutput);
      }
      return place;
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
): Pick<Required<SampledToken>, "logprob" | "top"> {
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
