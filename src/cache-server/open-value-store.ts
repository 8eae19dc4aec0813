import { TierStack, createPool } from "../cache/index.ts";
import { type Clock, KiB, type Logger, alignUp } from "../core/index.ts";
import { type MemoryPool, PAGE_BYTES } from "../memory/index.ts";
import { CpuTier, DiskTier, type Tier, createPolicy } from "../tiers/index.ts";
import { ValueNames } from "./value-names.ts";
import { ValueStore } from "./value-store.ts";

export interface StorageOptions {
  /** RAM for everything: what is stored, and what is on its way in and out. */
  readonly maxLocalCpuSizeBytes: number;
  readonly cachePolicy: string;
  /** Directories of the disk tier; without any, or without room, there is none. */
  readonly localDiskPaths: readonly string[];
  readonly maxLocalDiskSizeBytes: number;
  readonly useOdirect?: boolean | undefined;
  readonly diskIoThreads?: number | undefined;
}

/**
 * A value takes whole slabs, so it wastes half of one on average. And it takes 0.8 KB of the heap: with more and
 * smaller slabs, clients that put very many tiny values could make the process outgrow its bound by more.
 */
const NUM_SLABS = 2 ** 15;
const MIN_SLAB_BYTES: number = 16 * KiB;
const MAX_SLAB_BYTES: number = 256 * KiB;
/** The disk may fall behind by this much of the pool, which is then not to be evicted. */
const MAX_WRITING_SHARE = 1 / 4;
const FILE_LABEL = "cache-server";

/**
 * Opens the tiers.
 *
 * @throws UsageError for sizes that cannot be
 * @throws TierError when a directory cannot be used
 */
export async function openValueStore(
  options: StorageOptions,
  logger: Logger,
  clock: Clock,
): Promise<ValueStore> {
  const poolBytes = options.maxLocalCpuSizeBytes;
  const pool = createPool(poolBytes, slabBytesFor(poolBytes), logger);
  const cpuTier = new CpuTier({ pool, policy: createPolicy(options.cachePolicy) });
  try {
    const diskTier = await openDiskTier(options, pool, logger, clock);
    const tiers: Tier[] = diskTier === undefined ? [cpuTier] : [cpuTier, diskTier];
    return new ValueStore({
      pool,
      cpuTier,
      tiers: new TierStack({ tiers, hotTier: cpuTier, clock, logger }),
      names: new ValueNames({
        cpuTier,
        directories: diskTier === undefined ? [] : options.localDiskPaths,
      }),
      isDurable: diskTier !== undefined,
    });
  } catch (error) {
    pool[Symbol.dispose]();
    throw error;
  }
}

async function openDiskTier(
  options: StorageOptions,
  pool: MemoryPool,
  logger: Logger,
  clock: Clock,
): Promise<DiskTier | undefined> {
  if (options.localDiskPaths.length === 0 || options.maxLocalDiskSizeBytes === 0) return undefined;
  return DiskTier.open({
    paths: options.localDiskPaths,
    maxSizeBytes: options.maxLocalDiskSizeBytes,
    useOdirect: options.useOdirect,
    numIoThreads: options.diskIoThreads,
    modelName: FILE_LABEL,
    policy: createPolicy(options.cachePolicy),
    pool,
    maxInFlightBytes: Math.max(pool.slabBytes, pool.capacityBytes * MAX_WRITING_SHARE),
    logger,
    clock,
  });
}

function slabBytesFor(poolBytes: number): number {
  const wanted = Math.max(MIN_SLAB_BYTES, Math.min(poolBytes / NUM_SLABS, MAX_SLAB_BYTES));
  return alignUp(wanted, PAGE_BYTES);
}
