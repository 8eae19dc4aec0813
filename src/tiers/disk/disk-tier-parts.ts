import { realpath } from "node:fs/promises";
import {
  type Clock,
  type Logger,
  UsageError,
  messageOf,
  silentLogger,
  systemClock,
} from "../../core/index.ts";
import type { MemoryPool } from "../../memory/index.ts";
import type { EvictionPolicy } from "../policies/index.ts";
import { CachedRead } from "./cached-read.ts";
import { ChunkFiles } from "./chunk-files.ts";
import { type ChunkNaming, chunkNamePrefix } from "./chunk-path.ts";
import { ChunkPlaces } from "./chunk-places.ts";
import { ChunkRemover } from "./chunk-remover.ts";
import { DirectoryScanner } from "./directory-scanner.ts";
import { TierCounters } from "../tier-counters.ts";
import { DiskReader } from "./disk-reader.ts";
import { DiskSpace } from "./disk-space.ts";
import { DiskWriter } from "./disk-writer.ts";
import { FileInspector } from "./file-inspector.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import { IoExecutor } from "./io-executor.ts";
import { Outage } from "./outage.ts";
import { Recency } from "./recency.ts";
import { TemporaryNames } from "./temporary-names.ts";

/** As many as Node has threads for files. */
const DEFAULT_NUM_IO_THREADS = 4;

export interface DiskTierOptions extends Partial<ChunkNaming> {
  /** Directories; made when missing. */
  readonly paths: readonly string[];
  /**
   * "by_chunk" spreads the chunks over all paths. "by_gpu" uses one path per device: the bound is then
   * that of this one.
   */
  readonly sharding?: "by_chunk" | "by_gpu" | undefined;
  readonly deviceId?: number | undefined;
  /** Bytes on disk over all paths: headers, padding and temporary files included. */
  readonly maxSizeBytes: number;
  readonly pool: MemoryPool;
  readonly policy: EvictionPolicy;
  readonly modelName: string;
  readonly useOdirect?: boolean | undefined;
  /** Reads, writes and removals at the same time. */
  readonly numIoThreads?: number | undefined;
  /** Accepted and not yet written; the bytes stay in the pool as long. Default: half of the pool. */
  readonly maxInFlightBytes?: number | undefined;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly fileSystem?: FileSystem | undefined;
}

/** What a disk tier is made of. */
export interface DiskTierParts {
  readonly numIoThreads: number;
  readonly space: DiskSpace;
  readonly counters: TierCounters;
  readonly outage: Outage;
  readonly executor: IoExecutor;
  readonly scanner: DirectoryScanner;
  readonly remover: ChunkRemover;
  readonly reader: DiskReader;
  readonly writer: DiskWriter;
  readonly recency: Recency;
}

/** Makes the directories and the parts. */
export async function assembleDiskTier(
  tier: string,
  options: DiskTierOptions,
): Promise<DiskTierParts> {
  const { pool, policy, maxSizeBytes, numIoThreads = DEFAULT_NUM_IO_THREADS } = options;
  const { fileSystem = nodeFileSystem, logger = silentLogger, clock = systemClock } = options;
  requirePositive("maxSizeBytes", maxSizeBytes);
  requirePositive("numIoThreads", numIoThreads);
  const places = new ChunkPlaces({
    directories: await makeDirectories(ownPaths(options), fileSystem),
    prefix: chunkNamePrefix({
      format: options.format ?? "warmkv",
      modelName: options.modelName,
      worldSize: options.worldSize ?? 1,
      workerId: options.workerId ?? 0,
    }),
  });
  const files = new ChunkFiles({ fileSystem, useOdirect: options.useOdirect ?? false, logger });
  const space = new DiskSpace(maxSizeBytes, policy);
  const counters = new TierCounters(tier);
  const outage = new Outage({ tier, clock, logger });
  const writeOutage = new Outage({ tier, clock, logger });
  const executor = new IoExecutor(numIoThreads);
  const temporaryNames = new TemporaryNames();
  const books = { places, space, counters, outage, writeOutage };
  const shared = { ...books, fileSystem, files, executor, clock };
  const remover = new ChunkRemover(shared);
  const scanner = new DirectoryScanner({
    ...shared,
    inspector: new FileInspector({ ...shared, remover }),
    remover,
    temporaryNames,
  });
  const usesPageCache = options.fileSystem === undefined && options.useOdirect !== true;
  const cachedRead = usesPageCache ? CachedRead.open() : undefined;
  const reader = new DiskReader({ ...shared, pool, cachedRead, remover, scanner });
  const recency = new Recency(shared);
  const writer = new DiskWriter({
    ...shared,
    recency,
    remover,
    scanner,
    temporaryNames,
    maxInFlightBytes: options.maxInFlightBytes ?? Math.max(pool.slabBytes, pool.capacityBytes / 2),
  });
  return { ...shared, numIoThreads, scanner, remover, reader, writer, recency };
}

function ownPaths({ paths, sharding, deviceId = 0 }: DiskTierOptions): readonly string[] {
  if (paths.length === 0) {
    throw new UsageError("Cannot open a disk tier without a path: wanted at least one directory");
  }
  return sharding === "by_gpu" ? [paths[deviceId % paths.length]!] : paths;
}

/**
 * @returns their real paths: one directory by two names would count twice
 * @throws UsageError for one that cannot be made
 */
async function makeDirectories(
  paths: readonly string[],
  fileSystem: FileSystem,
): Promise<string[]> {
  const real = paths.map(async (path) => {
    try {
      await fileSystem.makeDirectory(path);
      return await realpath(path);
    } catch (cause) {
      const message = `Cannot use "${path}" as a directory: ${messageOf(cause)}`;
      throw new UsageError(message, { param: "local_disk", cause });
    }
  });
  return [...new Set(await Promise.all(real))];
}

function requirePositive(name: string, value: number): void {
  if (value > 0 && Number.isSafeInteger(value)) return;
  throw new UsageError(`Cannot use ${name} ${value}: wanted a whole number greater than 0`, {
    param: name,
  });
}
