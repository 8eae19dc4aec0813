import type { Handler } from "hono";
import { checkTokenId, parseDetokenizeRequest, parseTokenizeRequest } from "../openai/index.ts";
import type { DetokenizeResponse, TokenizeResponse } from "../openai/index.ts";
import { readJsonBody } from "./json-body.ts";
import type { Service } from "./service.ts";

/** POST /tokenize, in vLLM's shape: the token ids that the same prompt or messages would be run with. */
export function tokenize(service: Service): Handler {
  const { engine, options } = service;
  return async function tokenize(context) {
    const fields = parseTokenizeRequest(await readJsonBody(context, options.maxBodyBytes));
    service.modelName(fields.model);
    const ids =
      fields.messages === undefined
        ? await engine.tokenize(fields.prompt ?? "", {
            addSpecial: fields.add_special_tokens ?? true,
            parseSpecial: true,
          })
        : await service.tokenizeChat(fields.messages, {
            addGenerationPrompt: fields.add_generation_prompt,
            variables: fields.chat_template_kwargs,
            tools: fields.tools,
          });
    const tokens = Array.from(ids);
    const textOf = (id: number): string => engine.detokenize(Int32Array.of(id));
    const response: TokenizeResponse = {
      count: tokens.length,
      max_model_len: engine.model.maxModelLen,
      tokens,
      token_strs: fields.return_token_strs === true ? tokens.map(textOf) : null,
    };
    return context.json(response);
  };
}

/** POST /detokenize, in vLLM's shape. */
export function detokenize(service: Service): Handler {
  const { engine, options } = service;
  return async function detokenize(context) {
    const { model, tokens } = parseDetokenizeRequest(
      await readJsonBody(context, options.maxBodyBytes),
    );
    service.modelName(model);
    for (const token of tokens) checkTokenId(token, engine.model.vocabSize, "tokens");
    const response: DetokenizeResponse = { prompt: engine.detokenize(tokens) };
    return context.json(response);
  };
}
