import { describe, expect, test } from "vitest";
import { GiB, MiB } from "../../../src/core/index.ts";
import { REMOTE_SCHEMES, type CacheConfig } from "../../../src/config/index.ts";
import { CWD, fieldFromEnv, fromEnv, HOME, usageErrorOf } from "./reading.ts";

interface Rule {
  field: keyof CacheConfig;
  variable: string;
  reads: [text: string, value: unknown][];
  refuses: string[];
  wanted: string;
}

const rules: Rule[] = [
  {
    field: "chunkSize",
    variable: "LMCACHE_CHUNK_SIZE",
    reads: [
      ["256", 256],
      [" 16 ", 16],
      ["1", 1],
      ["65536", 65_536],
      ['"128"', 128],
      ["'128'", 128],
      ["None", 256],
    ],
    refuses: ["0", "-1", "1.5", "65537", "abc", "0x10", "1_000", "256 tokens", "true"],
    wanted: "wanted a whole number from 1 to 65536",
  },
  {
    field: "localCpu",
    variable: "LMCACHE_LOCAL_CPU",
    reads: [
      ["True", true],
      ["TRUE", true],
      ["yes", true],
      ["On", true],
      ["1", true],
      ["False", false],
      ["no", false],
      ["OFF", false],
      ["0", false],
      ["null", true],
    ],
    refuses: ["maybe", "2", "y", "truee", "-1"],
    wanted: "wanted true, false, 1, 0, yes, no, on or off",
  },
  {
    field: "maxLocalCpuSizeBytes",
    variable: "LMCACHE_MAX_LOCAL_CPU_SIZE",
    reads: [
      ["20", 20 * GiB],
      ["5.0", 5 * GiB],
      [".5", GiB / 2],
      ["20Gi", 20 * GiB],
      ["512 MiB", 512 * MiB],
      ["1tb", 1024 * GiB],
      ["4096B", 4096],
    ],
    refuses: ["0", "0.0", "-5", "abc", "5 GB extra", "5X", "inf", "1e999", "0.9B", "9999999TB"],
    wanted: 'wanted a number of GB above 0, or a number with a unit, such as 5, 0.5 or "20Gi"',
  },
  {
    field: "maxLocalDiskSizeBytes",
    variable: "LMCACHE_MAX_LOCAL_DISK_SIZE",
    reads: [
      ["0", 0],
      ["640", 640 * GiB],
      ["10Gi", 10 * GiB],
    ],
    refuses: ["-1", "much"],
    wanted: 'wanted a number of GB, or a number with a unit, such as 5, 0.5 or "20Gi"',
  },
  {
    field: "localDiskPaths",
    variable: "LMCACHE_LOCAL_DISK",
    reads: [
      ["file:///local/disk_test/local_disk/", ["/local/disk_test/local_disk"]],
      ["file:///mnt/kv", ["/mnt/kv"]],
      ["file://local/disk/", [`${CWD}/local/disk`]],
      ["file://cache", [`${CWD}/cache`]],
      ["file:/mnt/kv", ["/mnt/kv"]],
      ["FILE:///mnt/kv", ["/mnt/kv"]],
      ["/var/cache/kv", ["/var/cache/kv"]],
      ["cache/kv", [`${CWD}/cache/kv`]],
      ["../kv", ["/srv/kv"]],
      ["~/kv", [`${HOME}/kv`]],
      ["file://~/local/disk/", [`${HOME}/local/disk`]],
      ["/a, /b ,,/c,", ["/a", "/b", "/c"]],
      ["file:///a/,file:///b/", ["/a", "/b"]],
      ["file:///a/,/b/,rel", ["/a", "/b", `${CWD}/rel`]],
      ["/with space/kv", ["/with space/kv"]],
      ["/percent%20sign", ["/percent%20sign"]],
      ["None", []],
      ["false", []],
    ],
    refuses: ["True", "s3://bucket/kv", "/a,redis://host:1", "file://", "/a,file://", "/a\nb"],
    wanted:
      'wanted a directory such as "/var/cache/kv" or "file:///var/cache/kv/", or several with commas',
  },
  {
    field: "localDiskPathSharding",
    variable: "LMCACHE_LOCAL_DISK_PATH_SHARDING",
    reads: [["by_gpu", "by_gpu"]],
    refuses: ["by_hash"],
    wanted: "wanted by_gpu",
  },
  {
    field: "remoteSerde",
    variable: "LMCACHE_REMOTE_SERDE",
    reads: [
      ["naive", "naive"],
      ["NULL", "naive"],
      ["CacheGen", "cachegen"],
      ["INT8", "int8"],
    ],
    refuses: ["json"],
    wanted: "wanted naive, int8, cachegen or kivi",
  },
  {
    field: "cachePolicy",
    variable: "LMCACHE_CACHE_POLICY",
    reads: [
      ["LRU", "LRU"],
      ["lfu", "LFU"],
      ["Fifo", "FIFO"],
      ["mru", "MRU"],
      ["adaptive", "ADAPTIVE"],
    ],
    refuses: ["COST_AWARE", "LR"],
    wanted: "wanted LRU, LFU, FIFO, MRU or ADAPTIVE",
  },
  {
    field: "saveDecodeCache",
    variable: "LMCACHE_SAVE_DECODE_CACHE",
    reads: [["true", true]],
    refuses: ["t"],
    wanted: "wanted true, false, 1, 0, yes, no, on or off",
  },
  {
    field: "saveUnfullChunk",
    variable: "LMCACHE_SAVE_UNFULL_CHUNK",
    reads: [
      ["false", false],
      ["", true],
    ],
    refuses: ["f"],
    wanted: "wanted true, false, 1, 0, yes, no, on or off",
  },
  {
    field: "retrieveLocations",
    variable: "LMCACHE_RETRIEVE_LOCATIONS",
    reads: [
      ["LocalCPUBackend", ["LocalCPUBackend"]],
      ["localcpubackend, LocalDiskBackend", ["LocalCPUBackend", "LocalDiskBackend"]],
      ["null", undefined],
    ],
    refuses: ["cpu", "LocalCPUBackend,PDBackend", ","],
    wanted: "wanted a list of LocalCPUBackend, LocalDiskBackend or RemoteBackend",
  },
  {
    field: "storeLocation",
    variable: "LMCACHE_STORE_LOCATION",
    reads: [["LocalDiskBackend", "LocalDiskBackend"]],
    refuses: ["PDBackend", "LocalCPUBackend,LocalDiskBackend"],
    wanted: "wanted LocalCPUBackend, LocalDiskBackend or RemoteBackend",
  },
  {
    field: "minRetrieveTokens",
    variable: "LMCACHE_MIN_RETRIEVE_TOKENS",
    reads: [
      ["0", 0],
      ["2048", 2048],
    ],
    refuses: ["-1", "0.5", "many"],
    wanted: "wanted a whole number of at least 0",
  },
  {
    field: "blockingTimeoutMs",
    variable: "LMCACHE_BLOCKING_TIMEOUT_SECS",
    reads: [
      ["10", 10_000],
      ["0.25", 250],
    ],
    refuses: ["0", "-1", "inf", "2147484", "10s"],
    wanted: "wanted a number of seconds from 0.001 to 2147483",
  },
  {
    field: "pinTimeoutMs",
    variable: "LMCACHE_PIN_TIMEOUT_SEC",
    reads: [["60", 60_000]],
    refuses: ["0"],
    wanted: "wanted a number of seconds from 0.001 to 2147483",
  },
  {
    field: "pinCheckIntervalMs",
    variable: "LMCACHE_PIN_CHECK_INTERVAL_SEC",
    reads: [["5", 5000]],
    refuses: ["never"],
    wanted: "wanted a number of seconds from 0.001 to 2147483",
  },
  {
    field: "instanceId",
    variable: "LMCACHE_LMCACHE_INSTANCE_ID",
    reads: [["engine-7", "engine-7"]],
    refuses: ["two\nlines"],
    wanted: "wanted text on one line",
  },
  {
    field: "preCachingHashAlgorithm",
    variable: "LMCACHE_PRE_CACHING_HASH_ALGORITHM",
    reads: [
      ["builtin", "builtin"],
      ["sha256_cbor", "sha256_cbor"],
    ],
    refuses: ["md5"],
    wanted: "wanted builtin, sha256, sha256_cbor, sha256_cbor_64bit, xxhash, xxhash_cbor or blake3",
  },
  {
    field: "priorityLimit",
    variable: "LMCACHE_PRIORITY_LIMIT",
    reads: [
      ["5", 5],
      ["-3", -3],
      ["None", undefined],
    ],
    refuses: ["high", "1.5"],
    wanted: "wanted a whole number",
  },
  {
    field: "remoteUrl",
    variable: "LMCACHE_REMOTE_URL",
    reads: [
      ["None", undefined],
      ["", undefined],
      ["lm://localhost:65432", "lm://localhost:65432"],
      [" redis://:secret@host:6379/1 ", "redis://:secret@host:6379/1"],
      ["FS:///mnt/kv", "FS:///mnt/kv"],
    ],
    refuses: ["localhost:65432", "memcached://host", "lm://", "lm:/host:1", "true"],
    wanted:
      'wanted an address such as "lm://localhost:65432", with one of the schemes ' +
      REMOTE_SCHEMES.join(", "),
  },
];

describe.each(rules)("$variable", ({ field, variable, reads, refuses, wanted }) => {
  test.each(reads)("%j is read", (written, value) => {
    expect(fieldFromEnv(field, variable, written)).toEqual(value);
  });

  test.each(refuses)("%j is refused by name, value, place and what was wanted", (written) => {
    const error = usageErrorOf(() => fromEnv({ [variable]: written }));
    const key = variable.slice("LMCACHE_".length).toLowerCase();
    expect(error.message).toBe(
      `Cannot use ${key} ${JSON.stringify(written)} from environment variable ${variable}: ${wanted}`,
    );
    expect(error.param).toBe(key);
  });
});

test("a secret in a refused value is not shown", () => {
  const url = "http://user:hunter2@host:6379/?password=hunter3";
  const error = usageErrorOf(() => fromEnv({ LMCACHE_REMOTE_URL: url }));
  expect(error.message).toContain('"http://***@host:6379/?password=***"');
  expect(error.message).not.toMatch(/hunter/);
});

test("a long value is cut in the sentence", () => {
  const error = usageErrorOf(() => fromEnv({ LMCACHE_CHUNK_SIZE: "9".repeat(5000) }));
  expect(error.message.length).toBeLessThan(300);
});

test("without any source, every setting has the documented default", () => {
  expect(fromEnv({})).toEqual({
    config: {
      chunkSize: 256,
      localCpu: true,
      maxLocalCpuSizeBytes: 5 * GiB,
      localDiskPaths: [],
      localDiskPathSharding: "by_gpu",
      maxLocalDiskSizeBytes: 0,
      remoteUrl: undefined,
      remoteSerde: "naive",
      cachePolicy: "LRU",
      saveDecodeCache: false,
      saveUnfullChunk: true,
      retrieveLocations: undefined,
      storeLocation: undefined,
      minRetrieveTokens: 0,
      blockingTimeoutMs: 10_000,
      pinTimeoutMs: 300_000,
      pinCheckIntervalMs: 30_000,
      instanceId: "lmcache_default_instance",
      preCachingHashAlgorithm: "builtin",
      priorityLimit: undefined,
      extraConfig: {
        useOdirect: false,
        diskIoThreads: 4,
        remoteMaxConnections: 4,
        remoteClaimMs: 0,
        remoteToken: undefined,
        rest: {},
      },
    },
    warnings: [],
    setKeys: new Set(),
  });
});
