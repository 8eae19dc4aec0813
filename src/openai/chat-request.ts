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
  /** vLLM's: the answer goes on with the last message, which is the assistant's. Default false. */
  readonly continue_final_message?: boolean | undefined;
  /** vLLM's: put the last message in front of the answer, where it is the assistant's. Default false. */
  readonly echo?: boolean | undefined;
  /** vLLM's: for templates that know them. */
  readonly documents?: readonly JsonObject[] | undefined;
  /** vLLM's: variables for the template, such as enable_thinking. */
  readonly chat_template_kwargs?: JsonObject | undefined;
}

const MAX_DOCUMENTS = 1000;

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
  continue_final_message: z.boolean().optional(),
  echo: z.boolean().optional(),
  documents: z.array(jsonObject).max(MAX_DOCUMENTS).optional(),
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
  if (fields.continue_final_message === true) checkFinalMessage(fields);
  return fields;
}

function checkFinalMessage({ messages, add_generation_prompt: addsPrompt }: ChatFields): void {
  const param = "continue_final_message";
  if (addsPrompt === true) {
    throw new UsageError(
      "'continue_final_message' and 'add_generation_prompt' cannot both be true",
      { param },
    );
  }
  const last = messages.at(-1);
  if (last?.role === "assistant" && last.tool_calls === undefined) return;
  throw new UsageError(
    "Cannot continue the final message: expected one of the assistant's, without tool calls",
    { param },
  );
}
