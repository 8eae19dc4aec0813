import {
  CACHE_POLICIES,
  DEFAULT_LOCAL_CPU_BYTES,
  HASH_ALGORITHMS,
  REMOTE_SERDES,
  TIER_NAMES,
  type CacheConfig,
} from "./cache-config.ts";
import { DEFAULT_EXTRA_CONFIG, extraConfig } from "./extra-config.ts";
import { localDisk } from "./local-disk.ts";
import { remoteUrl } from "./remote-url.ts";
import {
  boolean,
  integer,
  listOf,
  oneOf,
  seconds,
  size,
  text,
  type ValueType,
} from "./value-type.ts";

/** All there is to say about one setting. Names in every source, checks, logs and documents follow from it. */
export interface Setting<Value> {
  /** As in files: snake case, LMCache's own. */
  readonly key: string;
  readonly type: ValueType<NonNullable<Value>>;
  readonly default: Value;
  readonly doc: string;
}

export type Settings = { readonly [Field in keyof CacheConfig]: Setting<CacheConfig[Field]> };

/** A chunk is read and written whole; larger ones would seldom match. */
const MAX_CHUNK_TOKENS = 65_536;

export const settings: Settings = {
  chunkSize: {
    key: "chunk_size",
    type: integer({ minimum: 1, maximum: MAX_CHUNK_TOKENS }),
    default: 256,
    doc: "Tokens per chunk. Caches with different chunk sizes share nothing.",
  },
  localCpu: {
    key: "local_cpu",
    type: boolean,
    default: true,
    doc: "Keep chunks in CPU RAM. If false, the pool only passes chunks on to the other tiers.",
  },
  maxLocalCpuSizeBytes: {
    key: "max_local_cpu_size",
    type: size(1),
    default: DEFAULT_LOCAL_CPU_BYTES,
    doc: "Pinned CPU RAM for the pool, reserved at the start; less than the machine has. Half of what it has, where that is less than the default. Needed for every tier.",
  },
  localDiskPaths: {
    key: "local_disk",
    type: localDisk,
    default: [],
    doc: "Directory of the disk tier, or several. Made when missing.",
  },
  localDiskPathSharding: {
    key: "local_disk_path_sharding",
    type: oneOf(["by_gpu"]),
    default: "by_gpu",
    doc: "How several directories are shared out: by the number of the device or worker.",
  },
  maxLocalDiskSizeBytes: {
    key: "max_local_disk_size",
    type: size(0),
    default: 0,
    doc: "Disk space for all directories together. 0: no disk tier.",
  },
  remoteUrl: {
    key: "remote_url",
    type: remoteUrl,
    default: undefined,
    doc: "Address of a store that several processes share, see docs/remote.md.",
  },
  remoteSerde: {
    key: "remote_serde",
    type: oneOf(REMOTE_SERDES),
    default: "naive",
    doc: `Form of chunks in a remote tier: ${REMOTE_SERDES.join(", ")}. See docs/remote.md.`,
  },
  cachePolicy: {
    key: "cache_policy",
    type: oneOf(CACHE_POLICIES),
    default: "LRU",
    doc: `What is given up first, in RAM and on disk: ${CACHE_POLICIES.join(", ")}.`,
  },
  saveDecodeCache: {
    key: "save_decode_cache",
    type: boolean,
    default: false,
    doc: "Store generated tokens too.",
  },
  saveUnfullChunk: {
    key: "save_unfull_chunk",
    type: boolean,
    default: true,
    doc: "Store the last partial chunk too, so that a repeated prompt is warm to its last token.",
  },
  retrieveLocations: {
    key: "retrieve_locations",
    type: listOf(TIER_NAMES),
    default: undefined,
    doc: `Look only into these tiers: ${TIER_NAMES.join(", ")}.`,
  },
  storeLocation: {
    key: "store_location",
    type: oneOf(TIER_NAMES),
    default: undefined,
    doc: "Store into this tier only.",
  },
  minRetrieveTokens: {
    key: "min_retrieve_tokens",
    type: integer({ minimum: 0 }),
    default: 0,
    doc: "A hit that saves fewer tokens than this is computed and not loaded.",
  },
  blockingTimeoutMs: {
    key: "blocking_timeout_secs",
    type: seconds,
    default: 10_000,
    doc: "The longest wait for a remote tier.",
  },
  pinTimeoutMs: {
    key: "pin_timeout_sec",
    type: seconds,
    default: 300_000,
    doc: "A pin that nobody takes away ends after this time.",
  },
  pinCheckIntervalMs: {
    key: "pin_check_interval_sec",
    type: seconds,
    default: 30_000,
    doc: "How often pins are checked for their end.",
  },
  instanceId: {
    key: "lmcache_instance_id",
    type: text,
    default: "lmcache_default_instance",
    doc: "Name of this process in logs and towards routers. Also read from LMCACHE_INSTANCE_ID.",
  },
  preCachingHashAlgorithm: {
    key: "pre_caching_hash_algorithm",
    type: oneOf(HASH_ALGORITHMS),
    default: "builtin",
    doc: "Accepted and without effect: keys are always chained SHA-256, equal on every machine.",
  },
  priorityLimit: {
    key: "priority_limit",
    type: integer(),
    default: undefined,
    doc: "Requests with a priority value above this are not stored.",
  },
  extraConfig: {
    key: "extra_config",
    type: extraConfig,
    default: DEFAULT_EXTRA_CONFIG,
    doc: "A map of further settings, see below.",
  },
};

/** The settings by their keys, in the order of the documents. */
export const settingsByKey: ReadonlyMap<string, { field: keyof CacheConfig } & Setting<unknown>> =
  new Map(
    Object.entries(settings as Record<keyof CacheConfig, Setting<unknown>>).map(
      ([field, setting]) => [setting.key, { field: field as keyof CacheConfig, ...setting }],
    ),
  );
