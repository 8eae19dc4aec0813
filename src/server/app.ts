import { type Handler, Hono } from "hono";
import { matchedRoutes } from "hono/route";
import type { CacheEngine } from "../cache/index.ts";
import { MiB, publish, silentLogger, systemClock } from "../core/index.ts";
import type { Clock, Logger } from "../core/index.ts";
import type { ChatTemplate, Engine } from "../engine/index.ts";
import { ApiError } from "../openai/index.ts";
import { requireApiKey } from "./api-keys.ts";
import { cacheRoutes } from "./cache-routes.ts";
import { chatCompletions } from "./chat-completions.ts";
import { completions } from "./completions.ts";
import { embeddings } from "./embeddings.ts";
import { errorResponse } from "./error-response.ts";
import { models } from "./models.ts";
import { Service } from "./service.ts";
import { detokenize, tokenize } from "./tokenize.ts";

export interface AppOptions {
  readonly engine: Engine;
  /** The names clients may ask for; the first one is used when they name none. */
  readonly servedModelNames: readonly [string, ...string[]];
  /** What GET /version answers. */
  readonly version: string;
  /** Without one, chat is a 400. */
  readonly chatTemplate?: ChatTemplate | undefined;
  /** Without any, no key is asked for. */
  readonly apiKeys?: readonly string[] | undefined;
  /** What GET /metrics answers; without it there is no such endpoint. */
  readonly metrics?: MetricsSource | undefined;
  /** What the endpoints under /cache control; without it they are a 503. */
  readonly cache?: CacheEngine | undefined;
  /** How long a client that waits for a prefetch is kept waiting. Default one minute. */
  readonly maxPrefetchWaitMs?: number | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  /** Default 64 MiB. */
  readonly maxBodyBytes?: number | undefined;
  /** How long a client may take nothing of its stream. Default two minutes. */
  readonly stallTimeoutMs?: number | undefined;
  /** How long a stream's headers wait for its first event. Default 5 ms. */
  readonly earlyHeadersMs?: number | undefined;
  /** The longest that an answer may take. Default: no limit. */
  readonly requestTimeoutMs?: number | undefined;
  /** The cache keeps answers too: a next turn then takes over their tokens. Default false. */
  readonly remembersTurns?: boolean | undefined;
}

interface MetricsSource {
  readonly contentType: string;
  render(): Promise<string>;
}

/** The OpenAI-compatible API in front of one engine. */
export function createApp(options: AppOptions): Hono {
  const logger = options.logger ?? silentLogger;
  const clock = options.clock ?? systemClock;
  const service = new Service({
    engine: options.engine,
    servedModelNames: options.servedModelNames,
    chatTemplate: options.chatTemplate,
    clock,
    logger,
    maxBodyBytes: options.maxBodyBytes ?? 64 * MiB,
    stallTimeoutMs: options.stallTimeoutMs ?? 120_000,
    earlyHeadersMs: options.earlyHeadersMs ?? 5,
    requestTimeoutMs: options.requestTimeoutMs,
    remembersTurns: options.remembersTurns ?? false,
  });

  const app = new Hono();
  app.onError((error, context) => errorResponse(error, context, logger));
  app.notFound((context) => {
    throw new ApiError(404, `There is no ${context.req.path} here`, { code: "not_found" });
  });
  app.use(async function logRequest(context, next) {
    const startMs = clock.nowMs();
    await next();
    const durationMs = Math.round(clock.nowMs() - startMs);
    const route = matchedRoutes(context).findLast(({ path }) => !path.endsWith("*"))?.path;
    const { method } = context.req;
    publish("warmkv:http:request", { method, route, status: context.res.status, durationMs });
    logger.debug(
      `${context.req.method} ${context.req.path} ${context.res.status} in ${durationMs} ms`,
    );
  });
  const apiKeys = options.apiKeys ?? [];
  if (apiKeys.length > 0) app.use(requireApiKey(apiKeys));

  app.route("/", models(service));
  app.post("/v1/completions", completions(service));
  app.post("/v1/chat/completions", chatCompletions(service));
  app.post("/v1/embeddings", embeddings(service));
  app.post("/tokenize", tokenize(service));
  app.post("/detokenize", detokenize(service));
  const health: Handler = (context) => {
    service.checkAlive();
    return context.body(null, 200);
  };
  app.get("/health", health);
  // SageMaker's name for it.
  app.on(["GET", "POST"], "/ping", health);
  app.get("/load", (context) => {
    const { numRunning, numWaiting } = service.engine.stats();
    return context.json({ server_load: numRunning + numWaiting });
  });
  app.post("/reset_prefix_cache", (context) => {
    service.engine.resetPrefixCache();
    return context.body(null, 200);
  });
  app.get("/version", (context) => context.json({ version: options.version }));
  const { metrics } = options;
  if (metrics !== undefined) {
    app.get("/metrics", async (context) =>
      context.body(await metrics.render(), 200, { "content-type": metrics.contentType }),
    );
  }
  app.route("/", cacheRoutes(service, options.cache, { maxWaitMs: options.maxPrefetchWaitMs }));
  refuseOtherMethods(app);
  return app;
}

/** A path that exists answers 405 to the methods it does not know, and names those it does. */
function refuseOtherMethods(app: Hono): void {
  const methodsByPath = new Map<string, Set<string>>();
  for (const { method, path } of app.routes) {
    if (method === "ALL") continue;
    const methods = methodsByPath.get(path) ?? new Set();
    methodsByPath.set(path, methods.add(method));
  }
  for (const [path, methods] of methodsByPath) {
    const allow = [...methods].join(", ");
    app.all(path, (context) => {
      throw new ApiError(405, `${context.req.path} only accepts ${allow}`, {
        code: "method_not_allowed",
        headers: { allow },
      });
    });
  }
}
