import type { CacheEngine } from "../cache/index.ts";
import type { CacheClearResponse } from "../openai/index.ts";
import type { ScopedTokens } from "./cache-prompt.ts";

/**
 * Drops a prompt, or everything that is not in use, from each of the tiers.
 *
 * @throws TierError of the first tier that is broken, when the others have been cleared
 */
export async function clearTiers(
  cache: CacheEngine,
  tiers: readonly string[],
  prompt: ScopedTokens | undefined,
): Promise<CacheClearResponse> {
  const outcomes = await Promise.allSettled(
    tiers.map((location) => cache.clear({ ...prompt?.scope, tokens: prompt?.tokens, location })),
  );
  const counts = outcomes.map((outcome) => {
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
  return {
    removed_chunks: counts.reduce((sum, count) => sum + count, 0),
    tiers: Object.fromEntries(tiers.map((tier, index) => [tier, counts[index]!])),
  };
}
