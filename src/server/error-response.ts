import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { messageOf } from "../core/index.ts";
import type { Logger } from "../core/index.ts";
import { ApiError } from "../openai/index.ts";

/** Long enough for a step, short enough for a queue that is moving. */
const RETRY_AFTER_SECONDS = 1;

/** What a client is told of anything thrown. */
export function toApiError(error: unknown): ApiError {
  // The engine's QueueFullError, by its code: servers do not load the engine to compare classes.
  if (error instanceof Error && "code" in error && error.code === "queue_full") {
    return new ApiError(429, error.message || "Too many requests are waiting: try again later", {
      type: "rate_limit_error",
      code: "queue_full",
      headers: { "retry-after": String(RETRY_AFTER_SECONDS) },
      cause: error,
    });
  }
  return ApiError.from(error);
}

export function errorResponse(error: unknown, context: Context, logger: Logger): Response {
  const apiError = toApiError(error);
  if (apiError.status >= 500) {
    const detail = error instanceof Error ? (error.stack ?? error.message) : messageOf(error);
    logger.error(`${context.req.method} ${context.req.path} failed: ${detail}`);
  }
  return context.json(apiError.body, apiError.status as ContentfulStatusCode, apiError.headers);
}
