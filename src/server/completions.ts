import type { Handler } from "hono";
import {
  CompletionWriter,
  answerGrammar,
  parseCompletionRequest,
  readAnswerFormat,
} from "../openai/index.ts";
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
    const hasLogprobs = fields.logprobs !== undefined;
    const scoresPrompt = fields.echo === true && hasLogprobs;
    const perChoice = <Value>(valueOf: (prompt: Prompt, index: number) => Value): Value[] =>
      prompts.flatMap((prompt, index) =>
        Array.from({ length: fields.n ?? 1 }, () => valueOf(prompt, index)),
      );
    const echoes = perChoice((prompt) => (fields.echo === true ? textOf(prompt) : ""));
    const firstTokens = scoresPrompt
      ? perChoice((_, index) => ({ text: engine.detokenize(tokenized[index]!.slice(0, 1)) }))
      : undefined;
    return answer(service, context, {
      engineId,
      fields,
      prompts: tokenized,
      promptParam: "prompt",
      writer: new CompletionWriter(head, { echoes, hasLogprobs, firstTokens }),
      numLogprobs: fields.logprobs,
      maxTokens: fields.max_tokens,
      defaultMaxTokens: DEFAULT_MAX_TOKENS,
      grammar: answerGrammar({
        format: readAnswerFormat(fields),
        reasoning: "never",
        tools: undefined,
      }),
      skipsSpecialTokens: fields.skip_special_tokens ?? true,
      scoresPrompt,
      bestOf: fields.best_of,
    });
  };

  function textOf(prompt: Prompt): string {
    return prompt.kind === "text" ? prompt.text : engine.detokenize(prompt.tokens);
  }
}
