import type { Handler } from "hono";
import { ApiError } from "../openai/index.ts";
import type { Service } from "./service.ts";

/** POST /v1/embeddings: so that clients are told why, and not that there is no such address. */
export function embeddings(service: Service): Handler {
  return function embeddings() {
    throw new ApiError(
      400,
      `The model \`${service.modelName(undefined)}\` makes no embeddings: this server answers with text only`,
      { param: "model", code: "embeddings_not_supported" },
    );
  };
}
