import { z } from "zod";
import { UsageError } from "../core/index.ts";
import { MAX_PROMPTS, readPrompts } from "./prompt.ts";
import type { Prompt } from "./prompt.ts";
import { parseRequestBody } from "./request-body.ts";
import { MAX_CHOICES, MAX_LOGPROBS, checkBetweenFields, samplingShape } from "./sampling-fields.ts";
import type { SamplingFields, ShapeOf } from "./sampling-fields.ts";

/** The body of POST /v1/completions. */
interface CompletionFields extends SamplingFields {
  readonly prompt?: unknown;
  /** Put the prompt in front of the answer; with `logprobs`, those of the prompt, too. */
  readonly echo?: boolean | undefined;
  /** Alternatives to report for each token. */
  readonly logprobs?: number | undefined;
  /** How many answers to make; the `n` likeliest are given. */
  readonly best_of?: number | undefined;
  /** vLLM's: BOS and EOS where the model asks for them. Default true. */
  readonly add_special_tokens?: boolean | undefined;
}

/** Of one request: they wait in a queue that others have to find room in, too. */
const MAX_ANSWERS = 512;

const shape: ShapeOf<CompletionFields> = {
  ...samplingShape,
  prompt: z.unknown(),
  echo: z.boolean().optional(),
  logprobs: z.int().min(0).max(MAX_LOGPROBS).optional(),
  best_of: z.int().min(1).max(MAX_CHOICES).optional(),
  max_tokens: z.int().min(0).optional(),
  add_special_tokens: z.boolean().optional(),
};
const schema = z.object(shape);

export interface CompletionRequest {
  readonly fields: CompletionFields;
  readonly prompts: readonly Prompt[];
}

/** @throws UsageError that names the first field that is wrong */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  const fields = parseRequestBody<CompletionFields>(schema, body);
  checkBetweenFields(fields);
  const { n = 1, best_of: bestOf = n } = fields;
  if (bestOf < n) {
    throw new UsageError(`Invalid 'best_of': expected at least 'n', which is ${n}, got ${bestOf}`, {
      param: "best_of",
    });
  }
  if (bestOf > n && fields.stream === true) {
    throw new UsageError("This server cannot honour 'best_of' above 'n' in a stream", {
      param: "best_of",
    });
  }
  if (fields.max_tokens === 0 && fields.echo !== true) {
    throw new UsageError("Invalid 'max_tokens': expected at least 1 without 'echo', got 0", {
      param: "max_tokens",
    });
  }
  const prompts = readPrompts(fields.prompt, "prompt", MAX_PROMPTS);
  const numAnswers = prompts.length * bestOf;
  if (numAnswers > MAX_ANSWERS) {
    throw new UsageError(
      `Invalid 'n': expected at most ${MAX_ANSWERS} answers to all prompts together, got ${numAnswers}`,
      { param: "n" },
    );
  }
  return { fields, prompts };
}
