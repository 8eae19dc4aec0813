import { z } from "zod";
import { UsageError } from "../core/index.ts";
import type { ChatMessage } from "../engine/index.ts";
import { messagesShape } from "./chat-message.ts";
import { type JsonObject, jsonObject } from "./json-object.ts";
import { parseRequestBody } from "./request-body.ts";
import { MAX_LOGPROBS, checkBetweenFields, samplingShape } from "./sampling-fields.ts";
import type { SamplingFields, ShapeOf } from "./sampling-fields.ts";
import { toolChoiceShape, toolsShape } from "./tools.ts";
import type { ToolChoiceFields, ToolFields } from "./tools.ts";

/** The body of POST /v1/chat/completions. */
export interface ChatFields extends SamplingFields {
  readonly messages: readonly ChatMessage[];
  readonly max_completion_tokens?: number | undefined;
  readonly logprobs?: boolean | undefined;
  readonly top_logprobs?: number | undefined;
  readonly tools?: readonly ToolFields[] | undefined;
  readonly tool_choice?: ToolChoiceFields | undefined;
  readonly parallel_tool_calls?: boolean | undefined;
  /** For templates that know it: "low", "medium", "high", ... */
  readonly reasoning_effort?: string | undefined;
  /** vLLM's: false leaves the thoughts out of the answer. Default true. */
  readonly include_reasoning?: boolean | undefined;
  /** vLLM's: end the prompt where the assistant begins to speak. Default true. */
  readonly add_generation_prompt?: boolean | undefined;
  /** vLLM's: variables for the template, such as enable_thinking. */
  readonly chat_template_kwargs?: JsonObject | undefined;
}

const shape: ShapeOf<ChatFields> = {
  ...samplingShape,
  messages: messagesShape,
  max_completion_tokens: samplingShape.max_tokens,
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(MAX_LOGPROBS).optional(),
  tools: toolsShape.optional(),
  tool_choice: toolChoiceShape.optional(),
  parallel_tool_calls: z.boolean().optional(),
  reasoning_effort: z.enum(["none", "minimal", "low", "medium", "high", "xhigh"]).optional(),
  include_reasoning: z.boolean().optional(),
  add_generation_prompt: z.boolean().optional(),
  chat_template_kwargs: jsonObject.optional(),
};
const schema = z.object(shape);

/** @throws UsageError that names the first field that is wrong */
export function parseChatRequest(body: unknown): ChatFields {
  const fields = parseRequestBody<ChatFields>(schema, body);
  checkBetweenFields(fields);
  if (fields.top_logprobs !== undefined && fields.logprobs !== true) {
    throw new UsageError("'top_logprobs' is only allowed when 'logprobs' is true", {
      param: "top_logprobs",
    });
  }
  return fields;
}
