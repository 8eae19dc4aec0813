import { GiB } from "../core/index.ts";

/** LMCache's own default of `max_local_cpu_size`. */
export const DEFAULT_LOCAL_CPU_BYTES: number = 5 * GiB;

/** The names of `cache_policy`. */
export const CACHE_POLICIES = ["LRU", "LFU", "FIFO", "MRU", "ADAPTIVE"] as const;
type CachePolicyName = (typeof CACHE_POLICIES)[number];

/** The tiers as settings name them. */
export const TIER_NAMES = ["LocalCPUBackend", "LocalDiskBackend", "RemoteBackend"] as const;
export type TierName = (typeof TIER_NAMES)[number];

/** What `remote_url` may begin with. */
export const REMOTE_SCHEMES = [
  "lm",
  "lms",
  "redis",
  "rediss",
  "redis-sentinel",
  "rediss-sentinel",
  "redis-cluster",
  "rediss-cluster",
  "redis+unix",
  "unix",
  "valkey",
  "valkeys",
  "valkey-sentinel",
  "valkeys-sentinel",
  "valkey-cluster",
  "valkeys-cluster",
  "valkey+unix",
  "mooncakestore",
  "infinistore",
  "fs",
  "mock",
  "blackhole",
] as const;

export const REMOTE_SERDES = ["naive", "int8", "cachegen", "kivi"] as const;
type RemoteSerdeName = (typeof REMOTE_SERDES)[number];

/** Accepted for the sake of existing files: keys are chained SHA-256, whatever is named here. */
export const HASH_ALGORITHMS = [
  "builtin",
  "sha256",
  "sha256_cbor",
  "sha256_cbor_64bit",
  "xxhash",
  "xxhash_cbor",
  "blake3",
] as const;
type HashAlgorithmName = (typeof HASH_ALGORITHMS)[number];

/** How the cache is to be: each setting read, checked and in one unit. Made by `loadCacheConfig`. */
export interface CacheConfig {
  /** Tokens per chunk. */
  readonly chunkSize: number;
  /** Whether the pool keeps chunks; if not, it only passes them on. */
  readonly localCpu: boolean;
  /** Never 0: every other tier passes its chunks through this pool. */
  readonly maxLocalCpuSizeBytes: number;
  /** Absolute. The disk tier is on when there is a path and its size is not 0. */
  readonly localDiskPaths: readonly string[];
  readonly localDiskPathSharding: "by_gpu";
  /** All paths together. */
  readonly maxLocalDiskSizeBytes: number;
  readonly remoteUrl: string | undefined;
  readonly remoteSerde: RemoteSerdeName;
  readonly cachePolicy: CachePolicyName;
  /** Generated tokens are stored too. */
  readonly saveDecodeCache: boolean;
  /** The last partial chunk of a prompt is stored too. */
  readonly saveUnfullChunk: boolean;
  /** The only tiers that are asked; undefined: all. */
  readonly retrieveLocations: readonly TierName[] | undefined;
  /** The only tier that is written; undefined: all. */
  readonly storeLocation: TierName | undefined;
  /** A hit that saves fewer tokens than this is not loaded. */
  readonly minRetrieveTokens: number;
  /** The longest wait for a remote tier. */
  readonly blockingTimeoutMs: number;
  readonly pinTimeoutMs: number;
  readonly pinCheckIntervalMs: number;
  readonly instanceId: string;
  readonly preCachingHashAlgorithm: HashAlgorithmName;
  /** Requests with a higher priority value are not stored; undefined: all are. */
  readonly priorityLimit: number | undefined;
  readonly extraConfig: ExtraConfig;
}

export interface ExtraConfig {
  readonly useOdirect: boolean;
  readonly diskIoThreads: number;
  readonly remoteMaxConnections: number;
  readonly remoteClaimMs: number;
  readonly remoteToken: string | undefined;
  /** Everything else, as written: remote tiers read their own keys from it. */
  readonly rest: Readonly<Record<string, unknown>>;
}

type Flag = boolean | string | undefined;
type Quantity = number | string | undefined;
type List = string | readonly string[] | null | undefined;

/**
 * Settings of the library: the keys of docs/configuration.md in camel case, each read as it would be
 * from a file or the environment. `null` asks for the default.
 */
export interface CacheOptions {
  readonly chunkSize?: Quantity;
  readonly localCpu?: Flag;
  readonly maxLocalCpuSize?: Quantity;
  readonly localDisk?: List;
  readonly localDiskPathSharding?: string | undefined;
  readonly maxLocalDiskSize?: Quantity;
  readonly remoteUrl?: string | null | undefined;
  readonly remoteSerde?: string | null | undefined;
  readonly cachePolicy?: string | undefined;
  readonly saveDecodeCache?: Flag;
  readonly saveUnfullChunk?: Flag;
  readonly retrieveLocations?: List;
  readonly storeLocation?: string | null | undefined;
  readonly minRetrieveTokens?: Quantity;
  readonly blockingTimeoutSecs?: Quantity;
  readonly pinTimeoutSec?: Quantity;
  readonly pinCheckIntervalSec?: Quantity;
  readonly lmcacheInstanceId?: string | undefined;
  readonly preCachingHashAlgorithm?: string | undefined;
  readonly priorityLimit?: Quantity | null;
  readonly extraConfig?: string | Readonly<Record<string, unknown>> | null | undefined;
}
