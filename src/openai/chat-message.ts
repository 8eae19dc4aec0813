import { z } from "zod";
import type { ChatMessage } from "../engine/index.ts";

const MAX_MESSAGES = 10_000;
const MAX_TOOL_CALLS = 128;

const textPart = z.strictObject({
  type: z.literal("text", { error: 'expected a part of type "text"' }),
  text: z.string(),
});

const toolCall = z
  .strictObject({
    id: z.string().max(256),
    type: z.literal("function", { error: 'expected a call of type "function"' }).optional(),
    /** Clients that put a stream together leave it in. */
    index: z.int().optional(),
    function: z.strictObject({ name: z.string().min(1).max(256), arguments: z.string().nullish() }),
  })
  .transform(({ id, function: called }) => ({
    id,
    type: "function" as const,
    function: { name: called.name, arguments: parseArguments(called.arguments ?? "") },
  }));

const message = z
  .strictObject({
    role: z.enum(["system", "developer", "user", "assistant", "tool"]),
    content: z
      .union([z.string(), z.array(z.unknown())], {
        error: "expected a string or a list of text parts",
      })
      .nullish(),
    name: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    /** As newer clients call it. */
    reasoning: z.string().nullish(),
    refusal: z.null().optional(),
    audio: z.null().optional(),
    annotations: z.tuple([]).nullish(),
    tool_calls: z.array(toolCall).max(MAX_TOOL_CALLS).nullish(),
    tool_call_id: z.string().max(256).nullish(),
    function_call: z.null({ error: "this server cannot honour function calls" }).optional(),
  })
  .transform((fields, context): ChatMessage => {
    const { role, name, tool_calls, tool_call_id } = fields;
    const reasoning_content = fields.reasoning_content ?? fields.reasoning;
    const isAssistant = role === "assistant";
    if (tool_calls != null && tool_calls.length > 0 && !isAssistant) {
      reportIssue(context, ["tool_calls"], "only an assistant's message has them");
    }
    if (role === "tool" && tool_call_id == null) {
      reportIssue(context, ["tool_call_id"], "expected the id of the call that this answers");
    }
    if (role !== "tool" && tool_call_id != null) {
      reportIssue(context, ["tool_call_id"], "only a tool's message has it");
    }
    return {
      role,
      content: joinParts(fields.content ?? undefined, role, context),
      ...(name != null && { name }),
      ...(reasoning_content != null && { reasoning_content }),
      ...(tool_calls != null && tool_calls.length > 0 && { tool_calls }),
      ...(tool_call_id != null && { tool_call_id }),
    };
  });

/** The message shape: one list for requests, for /tokenize and for the cache. */
export const messagesShape: z.ZodType<readonly ChatMessage[]> = z
  .array(message)
  .min(1, "expected at least one message")
  .max(MAX_MESSAGES);

/** Templates want the arguments themselves. What a model wrote wrongly stays as it is. */
function parseArguments(text: string): unknown {
  if (text.trim() === "") return {};
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function joinParts(
  content: string | readonly unknown[] | undefined,
  role: string,
  context: z.core.$RefinementCtx,
): string {
  if (typeof content === "string") return content;
  if (content === undefined) {
    // An assistant's turn may be empty; nobody else's.
    if (role !== "assistant") {
      reportIssue(context, ["content"], "expected a string or a list of text parts");
    }
    return "";
  }
  let text = "";
  for (const [index, part] of content.entries()) {
    const result = textPart.safeParse(part);
    if (result.success) text += result.data.text;
    else reportIssue(context, ["content", index], 'expected {"type":"text","text":"..."}');
  }
  return text;
}

function reportIssue(
  context: z.core.$RefinementCtx,
  path: readonly (string | number)[],
  message: string,
): void {
  context.addIssue({ code: "custom", path: [...path], message });
}
