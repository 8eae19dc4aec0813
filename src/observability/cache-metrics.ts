import type { Registry } from "prom-client";
import { subscribe } from "../core/index.ts";
import { hitRateBuckets, lookupTimeBuckets, speedBuckets, transferTimeBuckets } from "./buckets.ts";
import { MetricFactory } from "./metric-factory.ts";
import type { TierLevels } from "./tier-levels.ts";

/** LMCache's metrics, and ours where it has none. @returns functions that end the subscriptions */
export function registerCacheMetrics(
  registry: Registry,
  tierLevels: () => readonly TierLevels[],
): (() => void)[] {
  const metrics = new MetricFactory(registry, "lmcache:");
  registerLevels(metrics, new MetricFactory(registry, "warmkv:"), tierLevels);
  return [
    ...registerLookups(metrics),
    ...registerTransfers(metrics),
    ...registerEvictions(metrics),
    ...registerTroubles(new MetricFactory(registry, "warmkv:")),
    ...registerClaims(new MetricFactory(registry, "warmkv:")),
  ];
}

/** LMCache has one gauge for each kind of tier. */
const USAGE_METRICS: readonly (readonly [metric: string, tier: string])[] = [
  ["local_cache_usage", "LocalCPUBackend"],
  ["local_storage_usage", "LocalDiskBackend"],
  ["remote_cache_usage", "RemoteBackend"],
];

function registerLevels(
  lmcache: MetricFactory,
  warmkv: MetricFactory,
  tierLevels: () => readonly TierLevels[],
): void {
  for (const [metric, tier] of USAGE_METRICS) {
    lmcache.level(metric, `Bytes held by ${tier}`, () =>
      tierLevels().reduce((sum, level) => sum + (level.name === tier ? level.usedBytes : 0), 0),
    );
  }
  const byTier = (name: string, help: string, read: (level: TierLevels) => number): void =>
    warmkv.labelledLevels(name, help, ["tier"], () =>
      tierLevels().map((level) => ({ labels: { tier: level.name }, value: read(level) })),
    );
  byTier("tier_up", "1, or 0 while a tier is away", (level) => (level.isUp ? 1 : 0));
  byTier("tier_used_bytes", "Bytes held by a tier", (level) => level.usedBytes);
  byTier("tier_capacity_bytes", "Bytes a tier may hold", (level) => level.capacityBytes);
  byTier("tier_chunks", "Chunks held by a tier", (level) => level.numChunks);
  byTier("tier_chunk_hits", "Chunks found in a tier", (level) => level.numHits);
  byTier("tier_chunk_misses", "Chunks not found in a tier", (level) => level.numMisses);
}

function registerLookups(metrics: MetricFactory): (() => void)[] {
  const numLookups = metrics.counter("num_lookup_requests_total", "Lookups");
  const numMisses = metrics.counter("lookup_0_hit_requests_total", "Lookups that found nothing");
  const numTokens = metrics.counter("num_lookup_tokens_total", "Tokens looked up");
  const numHits = metrics.counter("num_lookup_hits_total", "Tokens found by lookups");
  const seconds = metrics.histogram("time_to_lookup", "Seconds of a lookup", lookupTimeBuckets);
  const hitRate = metrics.histogram(
    "request_cache_hit_rate",
    "Share of a request's tokens that was found",
    hitRateBuckets,
  );
  return [
    subscribe("warmkv:cache:lookup", (event) => {
      numLookups.inc();
      numTokens.inc(event.numTokens);
      numHits.inc(event.numHitTokens);
      if (event.numHitTokens === 0) numMisses.inc();
      seconds.observe(event.durationMs / 1000);
      if (event.numTokens > 0) hitRate.observe(event.numHitTokens / event.numTokens);
    }),
  ];
}

function registerTransfers(metrics: MetricFactory): (() => void)[] {
  const numRetrieves = metrics.counter("num_retrieve_requests_total", "Retrieves");
  const numRequested = metrics.counter("num_requested_tokens_total", "Tokens asked of retrieves");
  const numRetrieved = metrics.counter("num_hit_tokens_total", "Tokens that retrieves brought");
  const retrieveSeconds = metrics.histogram(
    "time_to_retrieve",
    "Seconds of a retrieve",
    transferTimeBuckets,
  );
  const retrieveSpeed = metrics.histogram(
    "retrieve_speed",
    "Tokens per second of a retrieve",
    speedBuckets,
  );
  const numStores = metrics.counter("num_store_requests_total", "Stores");
  const numStored = metrics.counter(
    "num_stored_tokens_total",
    "Tokens stored, evicted ones included",
  );
  const storeSeconds = metrics.histogram(
    "time_to_store",
    "Seconds of a store",
    transferTimeBuckets,
  );
  const storeSpeed = metrics.histogram("store_speed", "Tokens per second of a store", speedBuckets);
  return [
    subscribe("warmkv:cache:retrieve", (event) => {
      numRetrieves.inc();
      numRequested.inc(event.numRequestedTokens);
      numRetrieved.inc(event.numTokens);
      retrieveSeconds.observe(event.durationMs / 1000);
      if (event.durationMs > 0) retrieveSpeed.observe((event.numTokens * 1000) / event.durationMs);
    }),
    subscribe("warmkv:cache:store", (event) => {
      numStores.inc();
      numStored.inc(event.numTokens);
      storeSeconds.observe(event.durationMs / 1000);
      if (event.durationMs > 0) storeSpeed.observe((event.numTokens * 1000) / event.durationMs);
    }),
  ];
}

/** LMCache counts these for CPU RAM only. */
function registerEvictions(metrics: MetricFactory): (() => void)[] {
  const cpuTier = "LocalCPUBackend";
  const evictions = metrics.counter("local_cpu_evict_count_total", "Evictions from CPU RAM");
  const evicted = metrics.counter(
    "local_cpu_evict_keys_count_total",
    "Chunks evicted from CPU RAM",
  );
  const failed = metrics.counter(
    "local_cpu_evict_failed_count_total",
    "Chunks for which nothing could be evicted from CPU RAM",
  );
  return [
    subscribe("warmkv:cache:evicted", ({ tier, numChunks }) => {
      if (tier !== cpuTier) return;
      evictions.inc();
      evicted.inc(numChunks);
    }),
    subscribe("warmkv:cache:refused", ({ tier, numChunks }) => {
      if (tier === cpuTier || tier === "MemoryPool") failed.inc(numChunks);
    }),
  ];
}

function registerTroubles(metrics: MetricFactory): (() => void)[] {
  const damaged = metrics.counter(
    "damaged_chunks_total",
    "Chunks that failed a check and were removed",
    ["tier"],
  );
  const evicted = metrics.counter("evicted_chunks_total", "Chunks evicted", ["tier"]);
  const refused = metrics.counter("refused_chunks_total", "Chunks not stored for want of room", [
    "tier",
  ]);
  const failures = metrics.counter("tier_failures_total", "Calls that found a tier broken", [
    "tier",
    "code",
  ]);
  return [
    subscribe("warmkv:cache:damaged", ({ tier }) => damaged.inc({ tier })),
    subscribe("warmkv:cache:evicted", ({ tier, numChunks }) => evicted.inc({ tier }, numChunks)),
    subscribe("warmkv:cache:refused", ({ tier, numChunks }) => refused.inc({ tier }, numChunks)),
    subscribe("warmkv:tier:failed", ({ tier, code }) => failures.inc({ tier, code })),
  ];
}

function registerClaims(metrics: MetricFactory): (() => void)[] {
  const taken = metrics.counter(
    "prefill_claims_total",
    "Prompts claimed before they were computed",
  );
  const waits = metrics.histogram(
    "prefill_claim_wait_seconds",
    "Seconds that a request waited for chunks that another one computed",
    transferTimeBuckets,
  );
  return [
    subscribe("warmkv:claim:taken", () => taken.inc()),
    subscribe("warmkv:claim:waited", ({ durationMs }) => waits.observe(durationMs / 1000)),
  ];
}
