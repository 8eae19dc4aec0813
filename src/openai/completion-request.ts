import { z } from "zod";
import { UsageError } from "../core/index.ts";
import { readPrompts } from "./prompt.ts";
import type { Prompt } from "./prompt.ts";
import { parseRequestBody } from "./request-body.ts";
import { MAX_LOGPROBS, checkBetweenFields, samplingShape } from "./sampling-fields.ts";
import type { SamplingFields, ShapeOf } from "./sampling-fields.ts";

/** The body of POST /v1/completions. */
interface CompletionFields extends SamplingFields {
  readonly prompt?: unknown;
  /** Put the prompt in front of the answer. */
  readonly echo?: boolean | undefined;
  /** Alternatives to report for each token. */
  readonly logprobs?: number | undefined;
  readonly best_of?: number | undefined;
  /** vLLM's: BOS and EOS where the model asks for them. Default true. */
  readonly add_special_tokens?: boolean | undefined;
}

const shape: ShapeOf<CompletionFields> = {
  ...samplingShape,
  prompt: z.unknown(),
  echo: z.boolean().optional(),
  logprobs: z.int().min(0).max(MAX_LOGPROBS).optional(),
  best_of: z.int().optional(),
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
  if (fields.best_of !== undefined && fields.best_of !== (fields.n ?? 1)) {
    throw new UsageError(
      `This server cannot honour 'best_of' other than 'n': leave it out or set it to ${fields.n ?? 1}`,
      { param: "best_of" },
    );
  }
  if (fields.echo === true && fields.logprobs !== undefined) {
    throw new UsageError(
      "This server cannot honour 'logprobs' together with 'echo': it has no log probabilities of prompt tokens",
      { param: "logprobs" },
    );
  }
  return { fields, prompts: readPrompts(fields.prompt) };
}
