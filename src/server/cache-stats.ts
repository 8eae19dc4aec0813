import type { CacheEngine, CacheStats } from "../cache/index.ts";
import type { CacheStatsResponse, CacheTierStats } from "../openai/index.ts";

export function statsResponse(cache: CacheEngine): CacheStatsResponse {
  const stats = cache.stats();
  const tiers = Object.entries(stats.tiers).map(([name, tier]) => [name, tierStats(tier)]);
  return {
    chunk_tokens: cache.chunkTokens,
    num_pinned_chunks: stats.numPinnedChunks,
    pool_used_bytes: stats.poolUsedBytes,
    pool_capacity_bytes: stats.poolCapacityBytes,
    tiers: Object.fromEntries(tiers),
  };
}

function tierStats(stats: CacheStats["tiers"][string]): CacheTierStats {
  return {
    is_up: stats.isUp,
    num_chunks: stats.numChunks,
    used_bytes: stats.usedBytes,
    capacity_bytes: stats.capacityBytes,
    num_hits: stats.numHits,
    num_misses: stats.numMisses,
    num_stored: stats.numStored,
    num_evicted: stats.numEvicted,
    num_refused: stats.numRefused,
    num_damaged: stats.numDamaged,
  };
}
