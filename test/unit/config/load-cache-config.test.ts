import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCacheConfig, type CacheOptions } from "../../../src/config/index.ts";
import { settingsByKey } from "../../../src/config/schema.ts";
import { environmentName, optionName } from "../../../src/config/source.ts";
import { UsageError } from "../../../src/core/index.ts";
import { CWD, fromEnv, usageErrorOf } from "./reading.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "warmkv-config-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function written(content: string): string {
  const path = join(folder, "cache.yaml");
  writeFileSync(path, content);
  return path;
}

function fromFile(content: string, env: Record<string, string> = {}) {
  return loadCacheConfig({ env: { ...env, LMCACHE_CONFIG_FILE: written(content) }, cwd: CWD });
}

describe("the configuration file", () => {
  test("is YAML, read by the same rules as the environment", () => {
    const { config, warnings, setKeys } = fromFile(`
# comment
chunk_size: 128
local_cpu: yes
max_local_cpu_size: 5.0
local_disk: "file:///local/disk_test/local_disk/"
max_local_disk_size: 20Gi
cache_policy: lfu
retrieve_locations: ["LocalCPUBackend"]
remote_url: null
store_location: None
save_decode_cache:
extra_config: {'use_odirect': True}
`);
    expect(config).toMatchObject({
      chunkSize: 128,
      localCpu: true,
      maxLocalCpuSizeBytes: 5 * 1024 ** 3,
      localDiskPaths: ["/local/disk_test/local_disk"],
      maxLocalDiskSizeBytes: 20 * 1024 ** 3,
      cachePolicy: "LFU",
      retrieveLocations: ["LocalCPUBackend"],
      remoteUrl: undefined,
      storeLocation: undefined,
      saveDecodeCache: false,
      extraConfig: {
        useOdirect: true,
        diskIoThreads: 4,
        remoteMaxConnections: 4,
        remoteClaimMs: 0,
        remoteToken: undefined,
        rest: {},
      },
    });
    expect(warnings).toEqual([]);
    expect(setKeys).toContain("chunk_size");
    expect(setKeys).not.toContain("priority_limit");
  });

  test("may be JSON, have merge keys, lists of paths or nothing in it", () => {
    expect(fromFile(`{"chunk_size": 64}`).config.chunkSize).toBe(64);
    expect(fromFile("base: &b {chunk_size: 32}\n<<: *b\n").config.chunkSize).toBe(32);
    expect(
      fromFile("local_disk:\n  - /a\n  - file:///b/\nmax_local_disk_size: 1").config.localDiskPaths,
    ).toEqual(["/a", "/b"]);
    expect(fromFile("# nothing yet\n").setKeys.size).toBe(0);
  });

  test("is found from the working directory", () => {
    written("chunk_size: 48");
    const { config } = loadCacheConfig({
      env: { LMCACHE_CONFIG_FILE: "cache.yaml" },
      cwd: folder,
    });
    expect(config.chunkSize).toBe(48);
  });

  test("an explicit file is read in place of LMCACHE_CONFIG_FILE", () => {
    const env = { LMCACHE_CONFIG_FILE: "/does/not/exist.yaml" };
    const { config } = loadCacheConfig({ env, cwd: CWD, file: written("chunk_size: 24") });
    expect(config.chunkSize).toBe(24);
  });

  test.each([
    ["chunk_size: [", /Cannot read the configuration file ".*cache\.yaml": .*line 1, column \d+$/],
    ["chunk_size: 1\nchunk_size: 2", /": Map keys must be unique at line 2/],
    ["- chunk_size", /": wanted a YAML map of keys and values$/],
    ["just text", /": wanted a YAML map of keys and values$/],
  ])("%j is refused", (content, message) => {
    const error = usageErrorOf(() => fromFile(content));
    expect(error.message).toMatch(message);
    expect(error.param).toBe("LMCACHE_CONFIG_FILE");
  });

  test.each(["/does/not/exist.yaml", "/"])("%s cannot be read", (path) => {
    const error = usageErrorOf(() => fromEnv({ LMCACHE_CONFIG_FILE: path }));
    expect(error.message).toMatch(/^Cannot read the configuration file "\/.*": E[A-Z]+: /);
  });

  test("a value that cannot be understood is refused with the file's path", () => {
    expect(usageErrorOf(() => fromFile("max_local_cpu_size: [5]")).message).toBe(
      `Cannot use max_local_cpu_size [ 5 ] from file "${join(folder, "cache.yaml")}": ` +
        'wanted a number of GB above 0, or a number with a unit, such as 5, 0.5 or "20Gi"',
    );
  });
});

describe("library options and connector entries", () => {
  test("are read by the same rules", () => {
    const { config, setKeys } = loadCacheConfig({
      env: {},
      cwd: CWD,
      overrides: {
        maxLocalCpuSize: "5GiB",
        localDisk: ["/var/cache/kv", "file://rel/"],
        maxLocalDiskSize: 50,
        localCpu: false,
        chunkSize: undefined,
        extraConfig: { use_odirect: true },
      },
    });
    expect(config).toMatchObject({
      maxLocalCpuSizeBytes: 5 * 1024 ** 3,
      localDiskPaths: ["/var/cache/kv", `${CWD}/rel`],
      maxLocalDiskSizeBytes: 50 * 1024 ** 3,
      localCpu: false,
      chunkSize: 256,
      extraConfig: { useOdirect: true },
    });
    expect(setKeys).not.toContain("chunk_size");
  });

  test("a refused option is named as it was written", () => {
    const overrides = { maxLocalCpuSize: "lots" };
    expect(usageErrorOf(() => loadCacheConfig({ env: {}, cwd: CWD, overrides })).message).toContain(
      'Cannot use max_local_cpu_size "lots" from option maxLocalCpuSize: wanted',
    );
  });

  test("connector entries carry the prefix lmcache.; others belong to the connector", () => {
    const read = (connectorExtraConfig: Record<string, unknown>) =>
      loadCacheConfig({ env: {}, cwd: CWD, connectorExtraConfig });
    const { config, warnings } = read({
      "lmcache.chunk_size": 128,
      "lmcache.local_cpu": "False",
      "lmcache.local_disk": "/kv",
      "lmcache.max_local_disk_size": 1,
      discard_partial_chunks: false,
      lmcache_rpc_port: "producer1",
    });
    expect(config).toMatchObject({ chunkSize: 128, localCpu: false });
    expect(warnings).toEqual([]);
    expect(usageErrorOf(() => read({ "lmcache.chunk_size": {} })).message).toBe(
      'Cannot use chunk_size {} from kv_connector_extra_config "lmcache.chunk_size": wanted a whole number from 1 to 65536',
    );
    expect(read({ "lmcache.mp.port": 5555, "lmcache.chunk_sise": 1 }).warnings).toEqual([
      'Unknown key chunk_sise from kv_connector_extra_config "lmcache.chunk_sise" is ignored: did you mean lmcache.chunk_size?',
      "Not supported here and ignored: lmcache.mp.port",
    ]);
  });

  test("CacheOptions names every setting in camel case", () => {
    const names: Record<keyof CacheOptions, true> = {
      chunkSize: true,
      localCpu: true,
      maxLocalCpuSize: true,
      localDisk: true,
      localDiskPathSharding: true,
      maxLocalDiskSize: true,
      remoteUrl: true,
      remoteSerde: true,
      cachePolicy: true,
      saveDecodeCache: true,
      saveUnfullChunk: true,
      retrieveLocations: true,
      storeLocation: true,
      minRetrieveTokens: true,
      blockingTimeoutSecs: true,
      pinTimeoutSec: true,
      pinCheckIntervalSec: true,
      lmcacheInstanceId: true,
      preCachingHashAlgorithm: true,
      priorityLimit: true,
      extraConfig: true,
    };
    expect([...settingsByKey.keys()].map(optionName)).toEqual(Object.keys(names));
  });
});

describe("precedence", () => {
  test("default < file < environment < options < connector, whatever the subset", () => {
    const layers = ["file", "env", "option", "connector"] as const;
    fc.assert(
      fc.property(fc.subarray([...layers]), (present) => {
        const has = (layer: (typeof layers)[number]): boolean => present.includes(layer);
        const { config } = loadCacheConfig({
          env: has("env") ? { LMCACHE_CHUNK_SIZE: "2" } : {},
          cwd: CWD,
          file: written(has("file") ? "chunk_size: 1" : ""),
          overrides: has("option") ? { chunkSize: 3 } : {},
          connectorExtraConfig: has("connector") ? { "lmcache.chunk_size": 4 } : {},
        });
        const winner = present.at(-1);
        expect(config.chunkSize).toBe(winner === undefined ? 256 : layers.indexOf(winner) + 1);
      }),
    );
  });

  test("None takes a value of an earlier source back; an empty variable does not", () => {
    const file = "local_disk: /kv\nmax_local_disk_size: 1\n";
    expect(fromFile(file, { LMCACHE_LOCAL_DISK: "None" }).config.localDiskPaths).toEqual([]);
    expect(fromFile(file, { LMCACHE_LOCAL_DISK: " " }).config.localDiskPaths).toEqual(["/kv"]);
  });

  test("a value that a later source replaces is not looked at", () => {
    expect(fromFile("chunk_size: nonsense", { LMCACHE_CHUNK_SIZE: "8" }).config.chunkSize).toBe(8);
  });
});

describe("names", () => {
  test("LMCACHE_INSTANCE_ID is read too; the doubled prefix wins", () => {
    const short = { LMCACHE_INSTANCE_ID: "short" };
    const full = { LMCACHE_LMCACHE_INSTANCE_ID: "full" };
    expect(fromEnv(short)).toMatchObject({ config: { instanceId: "short" }, warnings: [] });
    expect(fromEnv({ ...short, ...full }).config.instanceId).toBe("full");
    expect(fromEnv({ ...full, ...short }).config.instanceId).toBe("full");
  });

  test("variables that are no settings are accepted silently", () => {
    const env = {
      LMCACHE_USE_EXPERIMENTAL: "True",
      LMCACHE_LOG_LEVEL: "INFO",
      LMCACHE_TRACK_USAGE: "false",
      LMCACHE: "x",
      OTHER_CHUNK_SIZE: "x",
    };
    expect(fromEnv(env)).toMatchObject({ warnings: [], setKeys: new Set() });
  });

  test("keys out of scope are one warning, old names among them", () => {
    const env = {
      LMCACHE_ENABLE_CONTROLLER: "True",
      LMCACHE_NIXL_ROLE: "sender",
      LMCACHE_WORKER_PORT: "8001",
      LMCACHE_EC_CHUNK_SIZE: "64",
    };
    expect(fromEnv(env).warnings).toEqual([
      "Not supported here and ignored: LMCACHE_ENABLE_CONTROLLER, " +
        "LMCACHE_NIXL_ROLE (old name of LMCACHE_PD_ROLE), " +
        "LMCACHE_WORKER_PORT (old name of LMCACHE_LMCACHE_WORKER_PORTS), LMCACHE_EC_CHUNK_SIZE",
    ]);
  });

  test.each([
    ["enable_xpyd", "enable_pd"],
    ["nixl_peer_host", "pd_peer_host"],
    ["nixl_peer_init_port", "pd_peer_init_port"],
    ["nixl_peer_alloc_port", "pd_peer_alloc_port"],
    ["nixl_proxy_host", "pd_proxy_host"],
    ["nixl_proxy_port", "pd_proxy_port"],
    ["nixl_buffer_size", "pd_buffer_size"],
    ["nixl_role", "pd_role"],
    ["controller_url", "controller_pull_url"],
    ["lmcache_worker_port", "lmcache_worker_ports"],
    ["plugin_locations", "runtime_plugin_locations"],
    ["external_backends", "storage_plugins"],
  ])("%s is known as the old name of %s", (old, present) => {
    expect(fromFile(`${old}: 1`).warnings).toEqual([
      `Not supported here and ignored: ${old} (old name of ${present})`,
    ]);
  });

  test.each(["false", "False", "0", "0.0", "null", "None", '""', "no", "off"])(
    "a key out of scope that is %s needs no warning",
    (value) => expect(fromFile(`use_layerwise: ${value}`).warnings).toEqual([]),
  );

  test.each([
    ["LMCACHE_CHUNK_SISE", "chunk_sise", "LMCACHE_CHUNK_SIZE"],
    ["LMCACHE_MAX_CPU_SIZE", "max_cpu_size", "LMCACHE_MAX_LOCAL_CPU_SIZE"],
    ["LMCACHE_LOCALDISK", "localdisk", "LMCACHE_LOCAL_DISK"],
    ["LMCACHE_PIN_TIMEOUT_SECS", "pin_timeout_secs", "LMCACHE_PIN_TIMEOUT_SEC"],
  ])("%s is ignored with the nearest name", (variable, name, nearest) => {
    expect(fromEnv({ [variable]: "1" }).warnings).toEqual([
      `Unknown key ${name} from environment variable ${variable} is ignored: did you mean ${nearest}?`,
    ]);
  });

  test("each source suggests its own spelling", () => {
    expect(fromFile("ChunkSize: 1").warnings).toEqual([
      `Unknown key ChunkSize from file "${join(folder, "cache.yaml")}" is ignored: did you mean chunk_size?`,
    ]);
  });

  test.each([
    ["localDisc", "Unknown option localDisc of the cache: did you mean localDisk?"],
    ["foo", "Unknown option foo of the cache"],
  ])("an unknown option of the library, %s, is refused", (name, message) => {
    const overrides = { [name]: "/kv" } as CacheOptions;
    const error = usageErrorOf(() => loadCacheConfig({ env: {}, cwd: CWD, overrides }));
    expect([error.message, error.param]).toEqual([message, name]);
  });

  test("a name like no other gets no suggestion", () => {
    expect(fromEnv({ LMCACHE_FOO: "1" }).warnings).toEqual([
      "Unknown key foo from environment variable LMCACHE_FOO is ignored",
    ]);
  });
});

describe("settings that do not fit together", () => {
  test.each([
    [
      { LMCACHE_LOCAL_DISK: "/kv" },
      ["local_disk is set but max_local_disk_size is 0: the disk tier stays off"],
    ],
    [
      { LMCACHE_MAX_LOCAL_DISK_SIZE: "5" },
      ["max_local_disk_size is set but local_disk is not: the disk tier stays off"],
    ],
    [
      { LMCACHE_LOCAL_CPU: "false" },
      ["local_cpu is false and there is no other tier: nothing will be cached"],
    ],
    [
      { LMCACHE_STORE_LOCATION: "LocalDiskBackend" },
      ["store_location is LocalDiskBackend, which is off: nothing will be stored"],
    ],
    [
      { LMCACHE_RETRIEVE_LOCATIONS: "LocalCPUBackend,RemoteBackend" },
      ["retrieve_locations names RemoteBackend, which is off"],
    ],
    [
      { LMCACHE_REMOTE_SERDE: "cachegen" },
      ["remote_serde is cachegen but remote_url is not set: it has no effect"],
    ],
    [{ LMCACHE_LOCAL_DISK: "/kv", LMCACHE_MAX_LOCAL_DISK_SIZE: "5", LMCACHE_LOCAL_CPU: "0" }, []],
    [
      { LMCACHE_REMOTE_SERDE: "kivi", LMCACHE_REMOTE_URL: "lm://host:1" },
      ["remote_serde kivi is not available here: chunks are stored as they are (naive)"],
    ],
    [{ LMCACHE_REMOTE_SERDE: "int8", LMCACHE_REMOTE_URL: "lm://host:1" }, []],
    [{ LMCACHE_REMOTE_SERDE: "naive" }, []],
  ])("%j", (env, warnings) => {
    expect(fromEnv(env as Record<string, string>).warnings).toEqual(warnings);
  });
});

describe("any value for any key", () => {
  const keys = fc.constantFrom(...settingsByKey.keys());
  const isReadOrRefused = (key: string, run: () => unknown): void => {
    try {
      run();
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      expect((error as UsageError).message).toContain(key);
      expect((error as UsageError).message).toMatch(/: wanted/);
      expect((error as UsageError).param).toBe(key);
    }
  };
  const texts = fc.oneof(
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.stringMatching(/^[-+.0-9eE_ ]{0,12}[A-Za-z]{0,3}$/),
    fc.stringMatching(/^[{}[\]:,'"a-z_ 0-9\\&*<!|>%@`?#-]{0,40}$/),
    fc.stringMatching(/^(file:)?[/~.,a-z\\: ]{0,30}$/),
  );

  test("as text is read, or refused by a sentence that names the key", () => {
    fc.assert(
      fc.property(keys, texts, (key, text) =>
        isReadOrRefused(key, () => fromEnv({ [environmentName(key)]: text })),
      ),
      { numRuns: 2000 },
    );
  });

  test("as an option is read, or refused by a sentence that names the key", () => {
    const values = fc.oneof(
      fc.anything(),
      fc.json().map((text) => JSON.parse(text) as unknown),
    );
    fc.assert(
      fc.property(keys, values, (key, value) =>
        isReadOrRefused(key, () =>
          loadCacheConfig({ env: {}, cwd: CWD, overrides: { [optionName(key)]: value } }),
        ),
      ),
      { numRuns: 1000 },
    );
  });

  test("numbers mean the same as text and as YAML", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 65_536 }), (value) => {
        const asText = fromEnv({ LMCACHE_CHUNK_SIZE: String(value) }).config.chunkSize;
        expect(asText).toBe(value);
        expect(fromFile(`chunk_size: ${value}`).config.chunkSize).toBe(value);
      }),
      { numRuns: 50 },
    );
  });
});
