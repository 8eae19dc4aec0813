import { type CacheEngine, createCacheEngine } from "../cache/index.ts";
import type { CacheConfig } from "../config/index.ts";
import type { Clock, Logger } from "../core/index.ts";
import { CacheConnector, type KvRole } from "./cache-connector.ts";
import type { EngineKvLayout, KvConnector } from "./connector.ts";
import { NullConnector } from "./null-connector.ts";

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
    logger,
  });
  return { connector, cache };
}
