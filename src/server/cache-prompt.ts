import type { PromptScope } from "../cache/index.ts";
import { scopeOf } from "../connector/index.ts";
// Not by the folder's door: behind it are native libraries.
import { saltOf } from "../engine/lora-module.ts";
import {
  ApiError,
  type CachePromptFields,
  type CacheRequest,
  checkTokenId,
} from "../openai/index.ts";
import type { Service } from "./service.ts";

/** A prompt as the cache knows it. */
export interface ScopedTokens {
  readonly tokens: Int32Array;
  readonly scope: PromptScope;
}

/**
 * The token ids that a request for an answer with the same fields would be run with.
 *
 * @throws ApiError for a model that is not served, UsageError for a prompt it could not answer
 */
export async function toScopedTokens(
  service: Service,
  request: CacheRequest<CachePromptFields>,
): Promise<ScopedTokens> {
  service.modelName(request.fields.model);
  const tokens = await tokenize(service, request);
  const { maxModelLen } = service.engine.model;
  if (tokens.length > maxModelLen) {
    throw new ApiError(
      400,
      `This model's maximum context length is ${maxModelLen} tokens: the prompt has ${tokens.length}`,
      { param: "prompt", code: "context_length_exceeded" },
    );
  }
  const { model, cache_salt: salt, kv_transfer_params: kvTransferParams } = request.fields;
  const cacheSalt = saltOf(service.module(model), salt);
  return { tokens, scope: scopeOf({ cacheSalt, kvTransferParams }) };
}

async function tokenize(
  service: Service,
  { fields, prompt }: CacheRequest<CachePromptFields>,
): Promise<Int32Array> {
  const { engine } = service;
  switch (prompt.kind) {
    case "messages":
      return service.tokenizeChat(prompt.messages, {
        addGenerationPrompt: fields.add_generation_prompt,
        variables: fields.chat_template_kwargs,
        tools: fields.tools,
      });
    case "text":
      return engine.tokenize(prompt.text, {
        addSpecial: fields.add_special_tokens ?? true,
        parseSpecial: true,
      });
    case "tokens": {
      const param = fields.tokens === undefined ? "prompt" : "tokens";
      for (const token of prompt.tokens) checkTokenId(token, engine.model.vocabSize, param);
      return prompt.tokens;
    }
  }
}
