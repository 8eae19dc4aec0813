import type { Handler } from "hono";
import { CompletionWriter, parseCompletionRequest } from "../openai/index.ts";
import type { Prompt } from "../openai/index.ts";
import { answer } from "./answer.ts";
import { readJsonBody } from "./json-body.ts";
import type { Service } from "./service.ts";

/** OpenAI's default for this endpoint. */
const DEFAULT_MAX_TOKENS = 16;

/** POST /v1/completions */
export function completions(service: Service): Handler {
  const { engine, options } = service;
  return async function completions(context) {
    const body = await readJsonBody(context, options.maxBodyBytes);
    const { fields, prompts } = parseCompletionRequest(body);
    const { head, engineId } = service.identify(context, "cmpl", fields);
    const addSpecial = fields.add_special_tokens ?? true;
    const tokenized = await Promise.all(
      prompts.map(async (prompt) =>
        prompt.kind === "tokens"
          ? prompt.tokens
          : await engine.tokenize(prompt.text, { addSpecial, parseSpecial: true }),
      ),
    );
    const echoes = prompts.flatMap((prompt) => {
      const echo = fields.echo === true ? textOf(prompt) : "";
      return Array.from({ length: fields.n ?? 1 }, () => echo);
    });
    return answer(service, context, {
      engineId,
      fields,
      prompts: tokenized,
      promptParam: "prompt",
      writer: new CompletionWriter(head, echoes, fields.logprobs !== undefined),
      numLogprobs: fields.logprobs,
      maxTokens: fields.max_tokens,
      defaultMaxTokens: DEFAULT_MAX_TOKENS,
    });
  };

  function textOf(prompt: Prompt): string {
    return prompt.kind === "text" ? prompt.text : engine.detokenize(prompt.tokens);
  }
}
