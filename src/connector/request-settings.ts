import type { PromptScope } from "../cache/index.ts";
import type { KvRequest } from "./connector.ts";

const TAG_PREFIX = "lmcache.tag.";

/** Per-request settings arrive as JSON, or as the text of a header. */
export function isSkipped(request: KvRequest): boolean {
  const value = request.kvTransferParams?.["lmcache.skip_save"];
  return value === true || String(value).toLowerCase() === "true";
}

/** What decides, beside its tokens, which chunks a request means: its salt and its `lmcache.tag.*`. */
export function scopeOf(request: Pick<KvRequest, "cacheSalt" | "kvTransferParams">): PromptScope {
  const tags = Object.entries(request.kvTransferParams ?? {})
    .filter(([name]) => name.startsWith(TAG_PREFIX))
    .map(([name, value]) => [name.slice(TAG_PREFIX.length), String(value)]);
  return { salt: request.cacheSalt, tags: Object.fromEntries(tags) };
}
