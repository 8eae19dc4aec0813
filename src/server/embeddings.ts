import type { Handler } from "hono";
import type { EmbeddingInfo } from "../engine/index.ts";
import {
  ApiError,
  type Prompt,
  checkTokenId,
  embeddingResponse,
  parseEmbeddingRequest,
} from "../openai/index.ts";
import { abortedBy } from "./answer.ts";
import { Deadline } from "./deadline.ts";
import { readJsonBody } from "./json-body.ts";
import { type PromptTokensOptions, promptTokens } from "./prompt-tokens.ts";
import type { Service } from "./service.ts";

/** POST /v1/embeddings */
export function embeddings(service: Service): Handler {
  const { engine, options } = service;
  return async function embeddings(context) {
    const { fields, inputs } = parseEmbeddingRequest(
      await readJsonBody(context, options.maxBodyBytes),
    );
    const model = service.modelName(fields.model);
    const info = embeddingInfo(model);
    const { dimensions = info.dimensions } = fields;
    if (dimensions !== info.dimensions) {
      throw new ApiError(
        400,
        `The model \`${model}\` makes embeddings of ${info.dimensions} dimensions only, got ${dimensions}`,
        { param: "dimensions" },
      );
    }
    service.checkAlive();
    const reading: PromptTokensOptions = {
      addSpecial: fields.add_special_tokens ?? true,
      truncateTo: fields.truncate_prompt_tokens,
      maxTokens: info.maxTokens,
    };
    const texts = await Promise.all(
      inputs.map((input, index) => {
        const param = inputs.length === 1 ? "input" : `input[${index}]`;
        return tokensOf(input, param, reading);
      }),
    );
    const numTokens = texts.reduce((sum, { length }) => sum + length, 0);
    const { signal } = context.req.raw;
    const controller = abortedBy(signal);
    const deadline = new Deadline(service.timeoutMs(context), controller);
    try {
      const vectors = await deadline.limit(engine.embed(texts, controller.signal));
      const { encoding_format: format = "float" } = fields;
      return context.json(embeddingResponse(model, vectors, format, numTokens));
    } catch (error) {
      if (!signal.aborted) throw error;
      // Nobody reads this; the status is for the log.
      throw new ApiError(499, "The client closed the request", { cause: error });
    }
  };

  function embeddingInfo(model: string): EmbeddingInfo {
    const { embedding } = engine.model;
    if (service.module(model) !== undefined) {
      throw new ApiError(
        400,
        `The LoRA module \`${model}\` makes no embeddings: ask the model itself, which --lora adapters apply to`,
        { param: "model", code: "embeddings_not_supported" },
      );
    }
    if (embedding !== undefined) return embedding;
    throw new ApiError(
      400,
      `The model \`${model}\` makes no embeddings: start the server with --embeddings for those of any model`,
      { param: "model", code: "embeddings_not_supported" },
    );
  }

  async function tokensOf(
    input: Prompt,
    param: string,
    reading: PromptTokensOptions,
  ): Promise<Int32Array> {
    const { maxTokens } = reading;
    const tokens = await promptTokens(engine, input, reading);
    if (tokens.length === 0) {
      throw new ApiError(400, `Invalid '${param}': expected at least one token`, { param });
    }
    if (tokens.length > maxTokens) {
      throw new ApiError(
        400,
        `This model's maximum length for embeddings is ${maxTokens} tokens: '${param}' has ${tokens.length}`,
        { param, code: "context_length_exceeded" },
      );
    }
    if (input.kind === "tokens") {
      for (const token of tokens) checkTokenId(token, engine.model.vocabSize, param);
    }
    return tokens;
  }
}
