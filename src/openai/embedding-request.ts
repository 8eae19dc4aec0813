import { z } from "zod";
import { readPrompts } from "./prompt.ts";
import type { Prompt } from "./prompt.ts";
import { parseRequestBody } from "./request-body.ts";
import { samplingShape } from "./sampling-fields.ts";
import type { ShapeOf } from "./sampling-fields.ts";

/** The body of POST /v1/embeddings. */
interface EmbeddingFields {
  readonly model?: string | undefined;
  readonly input?: unknown;
  /** Default float. The openai client asks for base64: little-endian floats of 32 bits. */
  readonly encoding_format?: "float" | "base64" | undefined;
  /** No other than the model's own. */
  readonly dimensions?: number | undefined;
  /** vLLM's: BOS and EOS where the model asks for them. Default true. */
  readonly add_special_tokens?: boolean | undefined;
  /** vLLM's: keep so many tokens of each text, the last ones; -1: as many as the model takes. */
  readonly truncate_prompt_tokens?: number | undefined;
}

/** OpenAI's limit. */
const MAX_INPUTS = 2048;

const shape: ShapeOf<EmbeddingFields> = {
  model: z.string().optional(),
  input: z.unknown(),
  encoding_format: z.enum(["float", "base64"]).optional(),
  dimensions: z.int().min(1).optional(),
  add_special_tokens: z.boolean().optional(),
  truncate_prompt_tokens: samplingShape.truncate_prompt_tokens,
};
const schema = z.object(shape);

export interface EmbeddingRequest {
  readonly fields: EmbeddingFields;
  readonly inputs: readonly Prompt[];
}

/** @throws UsageError that names the first field that is wrong */
export function parseEmbeddingRequest(body: unknown): EmbeddingRequest {
  const fields = parseRequestBody<EmbeddingFields>(schema, body);
  return { fields, inputs: readPrompts(fields.input, "input", MAX_INPUTS) };
}
