import type { Handler } from "hono";
import {
  ChatWriter,
  answerGrammar,
  messageParsers,
  parseChatRequest,
  readAnswerFormat,
  readToolWish,
  tokenIdName,
} from "../openai/index.ts";
import type { ChatFields } from "../openai/index.ts";
import { answer } from "./answer.ts";
import { readJsonBody } from "./json-body.ts";
import type { ChatPrompt, Service } from "./service.ts";

/** POST /v1/chat/completions */
export function chatCompletions(service: Service): Handler {
  return async function chatCompletions(context) {
    const fields = parseChatRequest(await readJsonBody(context, service.options.maxBodyBytes));
    const { head, engineId } = service.identify(context, "chatcmpl", fields);
    const { chatFormat } = service;
    const wish = readToolWish(fields);
    const tools = wish && { wish, dialect: chatFormat.toolDialect() };
    const { continue_final_message: continuesMessage = false } = fields;
    const rendered = await service.renderChat(fields.messages, {
      addGenerationPrompt: fields.add_generation_prompt ?? !continuesMessage,
      continueFinalMessage: continuesMessage,
      documents: fields.documents,
      variables: templateVariables(service, fields),
      tools: wish && fields.tools,
    });
    const prompt = truncatedTo(rendered, fields, service.engine.model.maxModelLen);
    const reasoning = chatFormat.reasoningStart(prompt.text);
    return answer(service, context, {
      engineId,
      fields,
      prompts: [prompt.tokens],
      promptParam: "messages",
      writer: new ChatWriter(head, {
        hasLogprobs: fields.logprobs === true,
        hasPromptLogprobs: fields.prompt_logprobs !== undefined,
        newParser: messageParsers(reasoning, tools),
        echo: fields.echo === true ? echoOf(fields) : undefined,
        includesReasoning: fields.include_reasoning ?? true,
        promptTokenIds: fields.return_token_ids === true ? [Array.from(prompt.tokens)] : undefined,
        tokenName: fields.return_tokens_as_token_ids === true ? tokenIdName : undefined,
      }),
      numPromptLogprobs: fields.prompt_logprobs,
      numLogprobs: fields.logprobs === true ? (fields.top_logprobs ?? 0) : undefined,
      maxTokens: fields.max_completion_tokens ?? fields.max_tokens,
      defaultMaxTokens: Number.POSITIVE_INFINITY,
      grammar: answerGrammar({ format: readAnswerFormat(fields), reasoning, tools }),
      onAnswered: (text, tokens) => {
        // Of a prompt that was cut the tokens are not those of its text.
        if (prompt === rendered) service.rememberTurn(prompt, text, tokens);
      },
      // Some models mark their calls and channels with control tokens.
      skipsSpecialTokens:
        fields.skip_special_tokens ?? (tools === undefined && reasoning !== "channels"),
    });
  };
}

function templateVariables(
  service: Service,
  fields: ChatFields,
): Readonly<Record<string, unknown>> | undefined {
  const { reasoning_effort: effort, chat_template_kwargs: variables } = fields;
  if (effort === undefined) return variables;
  service.chatFormat.checkReasoningEffort();
  return { reasoning_effort: effort, ...variables };
}

/** The end of a conversation that is too long, where the client asks for it. */
function truncatedTo(prompt: ChatPrompt, fields: ChatFields, maxModelLen: number): ChatPrompt {
  const { truncate_prompt_tokens: wanted } = fields;
  if (wanted === undefined) return prompt;
  const numAnswer = fields.max_completion_tokens ?? fields.max_tokens ?? 1;
  const limit = wanted === -1 ? Math.max(1, maxModelLen - numAnswer) : wanted;
  return prompt.tokens.length <= limit
    ? prompt
    : { ...prompt, tokens: prompt.tokens.slice(-limit) };
}

/** The last message, where the answer is of the same role. */
function echoOf({ messages }: ChatFields): string | undefined {
  const last = messages.at(-1);
  return last?.role === "assistant" ? last.content : undefined;
}
