import { createHash, timingSafeEqual } from "node:crypto";
import type { MiddlewareHandler } from "hono";
import { ApiError } from "../openai/index.ts";

/** For probes and scrapers, which have no key. */
const OPEN_PATHS: ReadonlySet<string> = new Set([
  "/health",
  "/ping",
  "/load",
  "/version",
  "/metrics",
]);

/** Lets a request through that carries one of the keys as "Authorization: Bearer ...". */
export function requireApiKey(keys: readonly string[]): MiddlewareHandler {
  const digests = keys.map(digest);
  return async function apiKeys(context, next) {
    if (OPEN_PATHS.has(context.req.path) || isKnown(context.req.header("authorization"), digests)) {
      return next();
    }
    throw new ApiError(
      401,
      "Missing or incorrect API key: expected an Authorization: Bearer header",
      {
        code: "invalid_api_key",
        headers: { "www-authenticate": "Bearer" },
      },
    );
  };
}

/** Takes the same time whichever key is right, and however much of a wrong one: hashes have one length. */
function isKnown(authorization: string | undefined, digests: readonly Buffer[]): boolean {
  const given = digest(/^bearer +(.*)$/i.exec(authorization ?? "")?.[1] ?? "");
  let isFound = false;
  for (const expected of digests) isFound = timingSafeEqual(given, expected) || isFound;
  return isFound;
}

function digest(key: string): Buffer {
  return createHash("sha256").update(key).digest();
}
