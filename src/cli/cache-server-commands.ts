import { formatBytes, tableLines } from "../core/index.ts";
import { printJson } from "./cache-output.ts";
import { type PromptFlags, readOptionalPromptBody, readPromptBody } from "./cache-prompt-flags.ts";
import { CacheServer } from "./cache-server.ts";
import { plural } from "./cache-words.ts";

export interface ServerFlags {
  readonly url: string;
  readonly apiKey?: string;
  readonly json?: true;
}

const STATS_HEAD = "TIER CHUNKS USED CAPACITY HITS MISSES STORED EVICTED REFUSED DAMAGED".split(
  " ",
);

/** `warmkv cache stats` */
export async function showServerStats(flags: ServerFlags): Promise<void> {
  const stats = await connect(flags).stats();
  if (flags.json) return printJson(stats);
  const rows = Object.entries(stats.tiers).map(([name, tier]) => [
    tier.is_up ? name : `${name} (away)`,
    String(tier.num_chunks),
    formatBytes(tier.used_bytes),
    formatBytes(tier.capacity_bytes),
    ...[tier.num_hits, tier.num_misses, tier.num_stored].map(String),
    ...[tier.num_evicted, tier.num_refused, tier.num_damaged].map(String),
  ]);
  console.log(tableLines([STATS_HEAD, ...rows]).join("\n"));
  console.log(
    `Pool: ${formatBytes(stats.pool_used_bytes)} of ${formatBytes(stats.pool_capacity_bytes)} in use; ` +
      `${plural(stats.num_pinned_chunks, "chunk")} pinned; ${stats.chunk_tokens} tokens in a chunk`,
  );
}

/** `warmkv cache ls` */
export async function listTiers(flags: ServerFlags): Promise<void> {
  const tiers = Object.entries((await connect(flags).stats()).tiers);
  if (flags.json) {
    const levels = tiers.map(([name, { num_chunks, used_bytes }]) => [
      name,
      { num_chunks, used_bytes },
    ]);
    return printJson(Object.fromEntries(levels));
  }
  const rows = tiers.map(([name, tier]) => [
    name,
    String(tier.num_chunks),
    formatBytes(tier.used_bytes),
  ]);
  console.log(tableLines([["TIER", "CHUNKS", "USED"], ...rows]).join("\n"));
}

/** `warmkv cache lookup` */
export async function lookup(flags: ServerFlags & PromptFlags): Promise<void> {
  const body = readPromptBody(flags);
  const answer = await connect(flags).lookup(body);
  if (flags.json) return printJson(answer);
  console.log(`${answer.hit_tokens} of ${plural(answer.total_tokens, "token")} stored`);
  for (const [tier, numTokens] of Object.entries(answer.tiers))
    console.log(`${tier}: ${numTokens}`);
}

/**
 * `warmkv cache prefetch`
 *
 * @throws Error when it failed
 */
export async function prefetch(
  flags: ServerFlags & PromptFlags & { readonly wait: boolean },
): Promise<void> {
  const body = readPromptBody(flags);
  const server = connect(flags);
  let answer = await server.prefetch(body, flags.wait);
  while (flags.wait && answer.status === "running") {
    answer = await server.waitForPrefetch(answer.request_id);
  }
  const { total_tokens: numTotal, hit_tokens: numHit, tokens_to_bring: numToBring } = answer;
  if (flags.json) printJson(answer);
  else {
    console.log(`${numHit} of ${plural(numTotal, "token")} stored, ${numToBring} not in CPU RAM`);
    if (answer.status === "running") console.log(`Bringing them: ${answer.request_id}`);
    if (answer.status === "done") console.log(`Brought ${answer.tokens_brought} of ${numToBring}`);
  }
  if (answer.status === "failed") throw new Error("The prefetch failed: see the server's log");
}

/** `warmkv cache pin` */
export async function pin(
  flags: ServerFlags & PromptFlags & { readonly ttl?: number },
): Promise<void> {
  const answer = await connect(flags).pin({ ...readPromptBody(flags), ttl: flags.ttl });
  if (flags.json) return printJson(answer);
  console.log(`Pinned ${answer.pinned_tokens} of ${plural(answer.total_tokens, "token")}`);
}

/** `warmkv cache unpin` */
export async function unpin(flags: ServerFlags & PromptFlags): Promise<void> {
  const answer = await connect(flags).unpin(readPromptBody(flags));
  if (flags.json) return printJson(answer);
  console.log(answer.unpinned ? "Unpinned" : "This prompt was not pinned");
}

/** `warmkv cache move` */
export async function move(
  flags: ServerFlags &
    PromptFlags & { readonly from: string; readonly to: string; readonly copy?: true },
): Promise<void> {
  const { from, to, copy } = flags;
  const answer = await connect(flags).move({ ...readPromptBody(flags), from, to, copy });
  if (flags.json) return printJson(answer);
  console.log(`${to} holds ${answer.moved_tokens} of ${plural(answer.total_tokens, "token")}`);
}

/** `warmkv cache clear` */
export async function clearServer(
  flags: ServerFlags & PromptFlags & { readonly tier?: readonly string[] },
): Promise<void> {
  const body = readOptionalPromptBody(flags);
  const answer = await connect(flags).clear(flags.tier ?? [], body);
  if (flags.json) return printJson(answer);
  for (const [tier, numChunks] of Object.entries(answer.tiers)) {
    console.log(`Removed ${plural(numChunks, "chunk")} from ${tier}`);
  }
}

function connect({ url, apiKey }: ServerFlags): CacheServer {
  // An empty VLLM_API_KEY is none.
  return new CacheServer(url, apiKey || undefined);
}
