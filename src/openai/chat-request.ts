import { z } from "zod";
import { UsageError } from "../core/index.ts";
import type { ChatMessage } from "../engine/index.ts";
import { parseRequestBody } from "./request-body.ts";
import { MAX_LOGPROBS, checkBetweenFields, jsonObject, samplingShape } from "./sampling-fields.ts";
import type { JsonObject, SamplingFields, ShapeOf } from "./sampling-fields.ts";

/** The body of POST /v1/chat/completions. */
export interface ChatFields extends SamplingFields {
  readonly messages: readonly ChatMessage[];
  readonly max_completion_tokens?: number | undefined;
  readonly logprobs?: boolean | undefined;
  readonly top_logprobs?: number | undefined;
  /** vLLM's: end the prompt where the assistant begins to speak. Default true. */
  readonly add_generation_prompt?: boolean | undefined;
  /** vLLM's: variables for the template, such as enable_thinking. */
  readonly chat_template_kwargs?: JsonObject | undefined;
}

const MAX_MESSAGES = 10_000;

const textPart = z.strictObject({
  type: z.literal("text", { error: 'expected a part of type "text"' }),
  text: z.string(),
});

const message = z
  .strictObject({
    role: z.enum(["system", "developer", "user", "assistant"]),
    content: z
      .union([z.string(), z.array(z.unknown())], {
        error: "expected a string or a list of text parts",
      })
      .nullish(),
    name: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    refusal: z.null().optional(),
    audio: z.null().optional(),
    tool_calls: z.tuple([], { error: "this server cannot honour tool calls" }).nullish(),
    function_call: z.null({ error: "this server cannot honour function calls" }).optional(),
  })
  .transform((fields, context): ChatMessage => {
    const { role, name, reasoning_content } = fields;
    return {
      role,
      content: joinParts(fields.content ?? undefined, role, context),
      ...(name != null && { name }),
      ...(reasoning_content != null && { reasoning_content }),
    };
  });

/** The message shape: one list for requests and for /tokenize. */
export const messagesShape: z.ZodType<readonly ChatMessage[]> = z
  .array(message)
  .min(1, "expected at least one message")
  .max(MAX_MESSAGES);

const shape: ShapeOf<ChatFields> = {
  ...samplingShape,
  messages: messagesShape,
  max_completion_tokens: z.int().min(1).optional(),
  logprobs: z.boolean().optional(),
  top_logprobs: z.int().min(0).max(MAX_LOGPROBS).optional(),
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

function joinParts(
  content: string | readonly unknown[] | undefined,
  role: string,
  context: z.core.$RefinementCtx,
): string {
  if (typeof content === "string") return content;
  if (content === undefined) {
    // An assistant's turn may be empty; nobody else's.
    if (role !== "assistant") reportIssue(context, [], "expected a string or a list of text parts");
    return "";
  }
  let text = "";
  for (const [index, part] of content.entries()) {
    const result = textPart.safeParse(part);
    if (result.success) text += result.data.text;
    else reportIssue(context, [index], 'expected {"type":"text","text":"..."}');
  }
  return text;
}

function reportIssue(context: z.core.$RefinementCtx, path: number[], message: string): void {
  context.addIssue({ code: "custom", path: ["content", ...path], message });
}
