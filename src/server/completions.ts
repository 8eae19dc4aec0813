import type { Handler } from "hono";
import {
  CompletionWriter,
  answerGrammar,
  parseCompletionRequest,
  readAnswerFormat,
  tokenIdName,
} from "../openai/index.ts";
import type { Prompt } from "../openai/index.ts";
import { answer } from "./answer.ts";
import { readJsonBody } from "./json-body.ts";
import { promptTokens } from "./prompt-tokens.ts";
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
    const tokenized = await Promise.all(
      prompts.map((prompt) =>
        promptTokens(engine, prompt, {
          addSpecial: fields.add_special_tokens ?? true,
          truncateTo: fields.truncate_prompt_tokens,
          // Room for a token of the answer.
          maxTokens: Math.max(1, engine.model.maxModelLen - (fields.max_tokens ?? 1)),
        }),
      ),
    );
    const hasLogprobs = fields.logprobs !== undefined;
    const scoresPrompt = fields.echo === true && hasLogprobs;
    const perChoice = <Value>(valueOf: (prompt: Prompt, index: number) => Value): Value[] =>
      prompts.flatMap((prompt, index) =>
        Array.from({ length: fields.n ?? 1 }, () => valueOf(prompt, index)),
      );
    const echoes = perChoice((prompt, index) =>
      fields.echo === true
        ? textOf(prompt, tokenized[index]!, fields.truncate_prompt_tokens !== undefined)
        : "",
    );
    const firstTokens = scoresPrompt
      ? perChoice((_, index) => {
          const first = tokenized[index]!.slice(0, 1);
          return { token: first[0]!, text: engine.detokenize(first) };
        })
      : undefined;
    return answer(service, context, {
      engineId,
      fields,
      prompts: tokenized,
      promptParam: "prompt",
      writer: new CompletionWriter(head, {
        echoes,
        hasLogprobs,
        hasPromptLogprobs: fields.prompt_logprobs !== undefined,
        firstTokens,
        promptTokenIds:
          fields.return_token_ids === true
            ? perChoice((_, index) => Array.from(tokenized[index]!))
            : undefined,
        tokenName: fields.return_tokens_as_token_ids === true ? tokenIdName : undefined,
      }),
      numLogprobs: fields.logprobs,
      maxTokens: fields.max_tokens,
      defaultMaxTokens: DEFAULT_MAX_TOKENS,
      grammar: answerGrammar({
        format: readAnswerFormat(fields),
        reasoning: "never",
        tools: undefined,
      }),
      skipsSpecialTokens: fields.skip_special_tokens ?? true,
      numPromptLogprobs: scoresPrompt
        ? Math.max(fields.logprobs ?? 0, fields.prompt_logprobs ?? 0)
        : fields.prompt_logprobs,
      bestOf: fields.best_of,
    });
  };

  function textOf(prompt: Prompt, tokens: Int32Array, isCut: boolean): string {
    return prompt.kind === "text" && !isCut ? prompt.text : engine.detokenize(tokens);
  }
}
