import type { CacheConfig } from "../config/index.ts";
import type { EngineKvLayout } from "../connector/connector.ts";
import { type Clock, type Logger, alignUp, systemClock } from "../core/index.ts";
import { type MemoryPool, PAGE_BYTES } from "../memory/index.ts";
import { openRemote } from "../remotes/index.ts";
import {
  CpuTier,
  DiskTier,
  Int8Serde,
  RemoteTier,
  type Tier,
  createPolicy,
} from "../tiers/index.ts";
import { CacheEngine } from "./cache-engine.ts";
import { createPool } from "./create-pool.ts";
import { layoutWithSerde } from "./remote-serde.ts";
import { payloadOffset } from "./reservation.ts";
import { TierStack } from "./tier-stack.ts";

/** State parts of any length fill whole slabs but for half of the last one: with slabs of a whole part half of all was lost. */
const GROWING_PART_SLABS = 4;

export interface CreateCacheEngineOptions {
  readonly config: CacheConfig;
  readonly layout: EngineKvLayout;
  readonly logger: Logger;
  readonly clock?: Clock | undefined;
  /** Variables that some remote stores are set by, see docs/remote.md. Default: none. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/**
 * Builds a cache as the settings say: pool, tiers, stack, engine.
 *
 * @throws UsageError for settings that cannot be
 * @throws TierError when a disk cannot be used
 */
export async function createCacheEngine(request: CreateCacheEngineOptions): Promise<CacheEngine> {
  const { config, logger, clock = systemClock } = request;
  const layout = layoutWithSerde(config, request.layout, logger);
  const options = { ...request, layout };
  const { chunkSize, retrieveLocations, storeLocation, pinTimeoutMs, instanceId } = config;
  const pool = createPool(config.maxLocalCpuSizeBytes, slabBytesOf(layout, chunkSize), logger);
  const opened: Tier[] = [];
  try {
    const hotTier = openCpuTier(config, pool);
    if (hotTier !== undefined) opened.push(hotTier);
    const diskTier = await openDiskTier(options, pool);
    if (diskTier !== undefined) opened.push(diskTier);
    const remoteTier = await openRemoteTier(options, pool);
    if (remoteTier !== undefined) opened.push(remoteTier);
    if (opened.length === 0)
      logger.warn("KV caching has no tier to store in: nothing will be kept");
    return new CacheEngine({
      instanceId,
      layout,
      chunkTokens: chunkSize,
      tiers: new TierStack({
        tiers: opened,
        hotTier,
        retrieveLocations,
        storeLocation,
        clock,
        logger,
      }),
      pool,
      pinTimeoutMs,
      clock,
      logger,
    });
  } catch (error) {
    for (const tier of opened) await tier[Symbol.asyncDispose]();
    pool[Symbol.dispose]();
    throw error;
  }
}

/** Room for a chunk; where there are none, for the state part of a short prompt, or for a quarter of one that grows. */
function slabBytesOf(layout: EngineKvLayout, chunkTokens: number): number {
  const chunkBytes = layout.tokenPartBytes(chunkTokens);
  const stateBytes = layout.statePartBytes(chunkTokens);
  const partBytes = payloadOffset({ start: 0, end: chunkTokens }) + (chunkBytes || stateBytes);
  const isGrowing = chunkBytes === 0 && layout.statePartBytes(2 * chunkTokens) > stateBytes;
  return alignUp(isGrowing ? Math.ceil(partBytes / GROWING_PART_SLABS) : partBytes, PAGE_BYTES);
}

function openCpuTier({ localCpu, cachePolicy }: CacheConfig, pool: MemoryPool): Tier | undefined {
  return localCpu ? new CpuTier({ pool, policy: createPolicy(cachePolicy) }) : undefined;
}

async function openDiskTier(
  { config, layout, logger, clock }: CreateCacheEngineOptions,
  pool: MemoryPool,
): Promise<Tier | undefined> {
  if (config.localDiskPaths.length === 0 || config.maxLocalDiskSizeBytes === 0) return undefined;
  return DiskTier.open({
    paths: config.localDiskPaths,
    sharding: config.localDiskPathSharding,
    maxSizeBytes: config.maxLocalDiskSizeBytes,
    useOdirect: config.extraConfig.useOdirect,
    numIoThreads: config.extraConfig.diskIoThreads,
    modelName: layout.modelName,
    policy: createPolicy(config.cachePolicy),
    pool,
    logger,
    clock,
  });
}

async function openRemoteTier(
  { config, layout, logger, clock = systemClock, env }: CreateCacheEngineOptions,
  pool: MemoryPool,
): Promise<Tier | undefined> {
  const { remoteUrl, blockingTimeoutMs, extraConfig } = config;
  if (remoteUrl === undefined) return undefined;
  const store = await openRemote(remoteUrl, {
    timeoutMs: blockingTimeoutMs,
    maxConnections: extraConfig.remoteMaxConnections,
    token: extraConfig.remoteToken,
    extraConfig: extraConfig.rest,
    env,
    logger,
    clock,
    random: Math.random,
  });
  const { modelName, findHalfRows } = layout;
  const headerBytes = payloadOffset({ start: 0, end: config.chunkSize });
  const payloadBytes = Math.max(
    layout.tokenPartBytes(config.chunkSize),
    layout.statePartBytes(Infinity),
  );
  const serde = findHalfRows && new Int8Serde({ pool, findRows: findHalfRows });
  return new RemoteTier({
    store,
    pool,
    modelName,
    serde,
    timeoutMs: blockingTimeoutMs,
    maxChunkBytes: headerBytes + payloadBytes,
    logger,
  });
}
