import type { Handler } from "hono";
import { ChatWriter, parseChatRequest } from "../openai/index.ts";
import { answer } from "./answer.ts";
import { readJsonBody } from "./json-body.ts";
import type { Service } from "./service.ts";

/** POST /v1/chat/completions */
export function chatCompletions(service: Service): Handler {
  return async function chatCompletions(context) {
    const fields = parseChatRequest(await readJsonBody(context, service.options.maxBodyBytes));
    const { head, engineId } = service.identify(context, "chatcmpl", fields);
    const tokens = await service.tokenizeChat(fields.messages, {
      addGenerationPrompt: fields.add_generation_prompt,
      variables: fields.chat_template_kwargs,
    });
    return answer(service, context, {
      engineId,
      fields,
      prompts: [tokens],
      promptParam: "messages",
      writer: new ChatWriter(head, fields.logprobs === true),
      numLogprobs: fields.logprobs === true ? (fields.top_logprobs ?? 0) : undefined,
      maxTokens: fields.max_completion_tokens ?? fields.max_tokens,
      defaultMaxTokens: Number.POSITIVE_INFINITY,
    });
  };
}
