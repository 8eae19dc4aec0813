import { z } from "zod";
import { UsageError } from "../core/index.ts";
import type { ChatMessage } from "../engine/index.ts";
import { messagesShape } from "./chat-message.ts";
import { readTokenIds } from "./prompt.ts";
import { describe, parseRequestBody } from "./request-body.ts";
import { jsonObject } from "./json-object.ts";
import type { JsonObject } from "./json-object.ts";
import type { ShapeOf } from "./sampling-fields.ts";
import { toolsShape } from "./tools.ts";
import type { ToolFields } from "./tools.ts";

/** The body of vLLM's POST /tokenize: a prompt or messages. */
export interface TokenizeFields {
  readonly model?: string | undefined;
  readonly prompt?: string | undefined;
  readonly messages?: readonly ChatMessage[] | undefined;
  /** For a prompt; default true. A chat template places special tokens itself. */
  readonly add_special_tokens?: boolean | undefined;
  /** For messages; default true. */
  readonly add_generation_prompt?: boolean | undefined;
  readonly chat_template_kwargs?: JsonObject | undefined;
  readonly tools?: readonly ToolFields[] | undefined;
  /** Also the text of each token. */
  readonly return_token_strs?: boolean | undefined;
}

export interface TokenizeResponse {
  readonly count: number;
  readonly max_model_len: number;
  readonly tokens: readonly number[];
  readonly token_strs: readonly string[] | null;
}

const tokenizeShape: ShapeOf<TokenizeFields> = {
  model: z.string().optional(),
  prompt: z.string().optional(),
  messages: messagesShape.optional(),
  add_special_tokens: z.boolean().optional(),
  add_generation_prompt: z.boolean().optional(),
  chat_template_kwargs: jsonObject.optional(),
  tools: toolsShape.optional(),
  return_token_strs: z.boolean().optional(),
};
const tokenizeSchema = z.object(tokenizeShape);

export function parseTokenizeRequest(body: unknown): TokenizeFields {
  const fields = parseRequestBody<TokenizeFields>(tokenizeSchema, body);
  if ((fields.prompt === undefined) === (fields.messages === undefined)) {
    throw new UsageError("Expected either 'prompt' or 'messages'", { param: "prompt" });
  }
  if (fields.messages !== undefined && fields.add_special_tokens === true) {
    throw new UsageError(
      "This server cannot honour 'add_special_tokens' for messages: the chat template places them",
      { param: "add_special_tokens" },
    );
  }
  return fields;
}

/** The body of vLLM's POST /detokenize. */
export interface DetokenizeFields {
  readonly model?: string | undefined;
  readonly tokens: Int32Array;
}

export interface DetokenizeResponse {
  readonly prompt: string;
}

const detokenizeSchema = z.object({ model: z.string().optional(), tokens: z.unknown() });

export function parseDetokenizeRequest(body: unknown): DetokenizeFields {
  const { model, tokens } = parseRequestBody<z.infer<typeof detokenizeSchema>>(
    detokenizeSchema,
    body,
  );
  if (!Array.isArray(tokens)) {
    throw new UsageError(
      `Invalid 'tokens': expected a list of token ids, got ${describe(tokens)}`,
      {
        param: "tokens",
      },
    );
  }
  return { model, tokens: readTokenIds(tokens, "tokens") };
}
