import { type CacheEngine, createCacheEngine } from "../cache/index.ts";
import type { CacheConfig } from "../config/index.ts";
import { type Clock, type Logger, systemClock } from "../core/index.ts";
import { CacheConnector, type KvRole } from "./cache-connector.ts";
import type { EngineKvLayout, KvConnector } from "./connector.ts";
import { NullConnector } from "./null-connector.ts";
import { PrefillClaims } from "./prefill-claims.ts";

export interface CreateConnectorOptions {
  readonly config: CacheConfig;
  readonly layout: EngineKvLayout;
  readonly role?: KvRole | undefined;
  /** See CacheConnectorOptions. */
  readonly estimatePrefillMs?: ((numTokens: number) => number) | undefined;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
  /** Variables that some remote stores are set by. Default: none. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface ConnectedCache {
  readonly connector: KvConnector;
  /** Closed by the connector; undefined when there is no caching. */
  readonly cache: CacheEngine | undefined;
}

/**
 * The cache for a model that has been loaded, and the connector to it. A platform without native memory goes
 * without.
 */
export async function createConnector(options: CreateConnectorOptions): Promise<ConnectedCache> {
  const { config, role, estimatePrefillMs, logger } = options;
  const cache = await createCacheEngine(options);
  if (cache.pool.memory.address === undefined) {
    await cache[Symbol.asyncDispose]();
    logger.warn("KV caching is off: this platform has no memory that an engine can reach");
    return { connector: new NullConnector(), cache: undefined };
  }
  const { saveDecodeCache, saveUnfullChunk, priorityLimit, minRetrieveTokens, blockingTimeoutMs } =
    config;
  const connector = new CacheConnector({
    cache,
    role,
    saveDecodeCache,
    saveUnfullChunk,
    priorityLimit,
    minRetrieveTokens,
    blockingTimeoutMs,
    estimatePrefillMs,
    claims: openClaims(options, cache),
    logger,
  });
  return { connector, cache };
}

/** @returns undefined where none are asked for or none can be had */
function openClaims(
  { config, role = "kv_both", logger, clock = systemClock }: CreateConnectorOptions,
  { tiers, hasChunks, needsState }: CacheEngine,
): PrefillClaims | undefined {
  const ttlMs = config.extraConfig.remoteClaimMs;
  if (ttlMs === 0) return undefined;
  const obstacle =
    (config.remoteUrl === undefined && "there is no remote_url") ||
    (tiers.claims === undefined &&
      "the remote store cannot keep claims, or is not read and written") ||
    ((needsState || !hasChunks) && "the model cannot go on behind any chunk") ||
    (role !== "kv_both" && `kv_role is ${role}`);
  if (obstacle === false) {
    return new PrefillClaims({ tiers, ttlMs, clock, random: Math.random, logger });
  }
  logger.warn(`remote_claim_ms is of no use here: ${obstacle}`);
  return undefined;
}
