import { Hono } from "hono";
import type { Context } from "hono";
import type { CacheEngine } from "../cache/index.ts";
import { TierError } from "../core/index.ts";
import {
  ApiError,
  type CacheLookupResponse,
  type CacheMoveResponse,
  type CachePinResponse,
  type CachePromptFields,
  type CacheRequest,
  type CacheUnpinResponse,
  parseCacheMove,
  parseCachePin,
  parseCachePrefetch,
  parseCachePrompt,
} from "../openai/index.ts";
import { clearTiers } from "./cache-clear.ts";
import { type Prefetch, Prefetches } from "./cache-prefetches.ts";
import { type ScopedTokens, toScopedTokens } from "./cache-prompt.ts";
import { checkTier, knownParameters, readFlag, readTiers } from "./cache-query.ts";
import { statsResponse } from "./cache-stats.ts";
import { readJsonBody } from "./json-body.ts";
import type { Service } from "./service.ts";

/** The longest answer to `wait`: what a slow disk needs for the longest prompts. */
const DEFAULT_MAX_WAIT_MS = 60_000;
/** The longest a move may take. */
const MOVE_TIMEOUT_MS = 300_000;

export interface CacheRoutesOptions {
  /** How long a client that waits for a prefetch is kept waiting. */
  readonly maxWaitMs?: number | undefined;
}

/**
 * The cache seen from outside: where a prompt's tokens are, bringing them into CPU RAM, keeping and
 * dropping them.
 *
 * @param cache undefined when there is no caching: every answer is then a 503
 */
export function cacheRoutes(
  service: Service,
  cache: CacheEngine | undefined,
  options: CacheRoutesOptions = {},
): Hono {
  if (cache === undefined) return new Hono().all("/cache/*", refuse);
  const { logger } = service.options;
  const maxWaitMs = options.maxWaitMs ?? DEFAULT_MAX_WAIT_MS;
  const prefetches = new Prefetches(cache, logger);
  const { tierNames } = cache.tiers;

  async function readPrompt<Fields extends CachePromptFields>(
    context: Context,
    parse: (body: unknown) => CacheRequest<Fields>,
  ): Promise<ScopedTokens & { readonly fields: Fields }> {
    const request = parse(await readJsonBody(context, service.options.maxBodyBytes));
    return { ...(await toScopedTokens(service, request)), fields: request.fields };
  }

  const whereIs = async ({ tokens, scope }: ScopedTokens): Promise<CacheLookupResponse> => {
    using match = await cache.lookup(tokens, scope);
    const tiers = await cache.locate(tokens, scope);
    return { total_tokens: tokens.length, hit_tokens: match.numTokens, tiers };
  };

  async function answerPrefetch(
    context: Context,
    prefetch: Prefetch,
    mustWait: boolean,
  ): Promise<Response> {
    if (mustWait) await prefetch.wait(maxWaitMs, context.req.raw.signal);
    const isEnded = mustWait && prefetch.response.status !== "running";
    return context.json(prefetch.response, isEnded ? 200 : 202);
  }

  const group = new Hono();
  group.onError((error) => {
    if (error instanceof TierError) {
      throw new ApiError(503, error.message, { type: "server_error", code: error.code });
    }
    throw error;
  });

  group.get("/cache/stats", (context) => {
    knownParameters(context, []);
    return context.json(statsResponse(cache));
  });

  group.post("/cache/lookup", async (context) => {
    knownParameters(context, []);
    return context.json(await whereIs(await readPrompt(context, parseCachePrompt)));
  });

  group.post("/cache/prefetch", async (context) => {
    knownParameters(context, ["wait"]);
    const mustWait = readFlag(context, "wait");
    const prompt = await readPrompt(context, parseCachePrefetch);
    const { engineId: id } = service.identify(context, "prefetch", {});
    const prefetch = prefetches.start(id, prompt, await whereIs(prompt));
    return answerPrefetch(context, prefetch, mustWait || prompt.fields.wait === true);
  });

  group.get("/cache/prefetch/:id", async (context) => {
    knownParameters(context, ["wait"]);
    const id = context.req.param("id");
    const prefetch = prefetches.get(id);
    if (prefetch === undefined) {
      throw new ApiError(404, `There is no prefetch ${JSON.stringify(id)}, or not any more`, {
        code: "not_found",
      });
    }
    if (readFlag(context, "wait")) await prefetch.wait(maxWaitMs, context.req.raw.signal);
    return context.json(prefetch.response);
  });

  group.post("/cache/pin", async (context) => {
    knownParameters(context, []);
    const prompt = await readPrompt(context, parseCachePin);
    const { tokens, scope, fields } = prompt;
    const durationMs = fields.ttl === undefined ? undefined : fields.ttl * 1000;
    const numPinned = await cache.pin(tokens, scope, durationMs);
    if (numPinned === 0 && (await whereIs(prompt)).hit_tokens > 0) {
      throw new ApiError(
        409,
        "Too much is pinned already: unpin something, or wait until it ends",
        {
          code: "too_many_pins",
        },
      );
    }
    const response: CachePinResponse = { total_tokens: tokens.length, pinned_tokens: numPinned };
    return context.json(response);
  });

  group.post("/cache/unpin", async (context) => {
    knownParameters(context, []);
    const { tokens, scope } = await readPrompt(context, parseCachePrompt);
    const response: CacheUnpinResponse = { unpinned: cache.unpin(tokens, scope) };
    return context.json(response);
  });

  group.post("/cache/move", async (context) => {
    knownParameters(context, []);
    const { tokens, scope, fields } = await readPrompt(context, parseCacheMove);
    const { from, to, copy: isCopy = false } = fields;
    for (const param of ["from", "to"] as const) checkTier(fields[param], param, tierNames);
    const signal = AbortSignal.any([context.req.raw.signal, AbortSignal.timeout(MOVE_TIMEOUT_MS)]);
    const numMoved = await cache.move(tokens, signal, { ...scope, from, to, isCopy });
    const response: CacheMoveResponse = { total_tokens: tokens.length, moved_tokens: numMoved };
    return context.json(response);
  });

  group.delete("/cache", async (context) => {
    knownParameters(context, ["tier"]);
    const tiers = readTiers(context, tierNames);
    const prompt = hasBody(context) ? await readPrompt(context, parseCachePrompt) : undefined;
    // What is dropped should be computed again, wherever else it lies.
    service.engine.resetPrefixCache();
    return context.json(await clearTiers(cache, tiers, prompt));
  });
  return group;
}

function refuse(): never {
  throw new ApiError(
    503,
    "KV caching is off: start the server with --kv-transfer-config or LMCACHE_* settings",
    { type: "server_error", code: "cache_off" },
  );
}

/** Where there may be a body it is read: one that names a prompt must never clear everything. */
function hasBody(context: Context): boolean {
  const { headers } = context.req.raw;
  return (
    headers.has("content-type") ||
    headers.has("transfer-encoding") ||
    Number(headers.get("content-length") ?? 0) > 0
  );
}
