import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadCacheConfig } from "../../../src/config/index.ts";
import { CWD, fromEnv, HOME, usageErrorOf } from "./reading.ts";

const GB = 1024 ** 3;

describe("environments of LMCache's documents", () => {
  test("CPU RAM page", () => {
    const { config, warnings } = fromEnv({
      LMCACHE_USE_EXPERIMENTAL: "True",
      LMCACHE_CHUNK_SIZE: "256",
      LMCACHE_LOCAL_CPU: "True",
      LMCACHE_MAX_LOCAL_CPU_SIZE: "5.0",
    });
    expect(config).toMatchObject({ localCpu: true, maxLocalCpuSizeBytes: 5 * GB });
    expect(warnings).toEqual([]);
  });

  test("local storage page", () => {
    const { config, warnings } = fromEnv({
      LMCACHE_CHUNK_SIZE: "256",
      LMCACHE_LOCAL_DISK: "file://~/local/disk_test/local_disk/",
      LMCACHE_MAX_LOCAL_DISK_SIZE: "5.0",
      LMCACHE_EXTRA_CONFIG: "{use_odirect: True}",
    });
    expect(config.localDiskPaths).toEqual([`${HOME}/local/disk_test/local_disk`]);
    expect(config.extraConfig.useOdirect).toBe(true);
    expect(warnings).toEqual([]);
  });

  test("local storage walkthrough, CPU offload off", () => {
    const { config, warnings } = fromEnv({
      LMCACHE_CHUNK_SIZE: "256",
      LMCACHE_LOCAL_CPU: "False",
      LMCACHE_MAX_LOCAL_CPU_SIZE: "5.0",
      LMCACHE_LOCAL_DISK: "file:///local/disk_test/local_disk/",
      LMCACHE_MAX_LOCAL_DISK_SIZE: "5.0",
    });
    expect(config).toMatchObject({
      localCpu: false,
      localDiskPaths: ["/local/disk_test/local_disk"],
    });
    expect(warnings).toEqual([]);
  });

  test("several disks", () => {
    const { config, warnings } = fromEnv({
      LMCACHE_USE_EXPERIMENTAL: "True",
      LMCACHE_MAX_LOCAL_CPU_SIZE: "1600",
      LMCACHE_LOCAL_DISK: "file:///mnt/nvme0/lm,file:///mnt/nvme1/lm",
      LMCACHE_MAX_LOCAL_DISK_SIZE: "4000",
      LMCACHE_LOCAL_DISK_PATH_SHARDING: "by_gpu",
    });
    expect(config.localDiskPaths).toEqual(["/mnt/nvme0/lm", "/mnt/nvme1/lm"]);
    expect(warnings).toEqual([]);
  });
});

describe("files of LMCache's documents", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "warmkv-documented-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function fromFile(content: string) {
    const file = join(folder, "example.yaml");
    writeFileSync(file, content);
    return loadCacheConfig({ env: {}, cwd: CWD, file });
  }

  test("local storage page", () => {
    const { config, warnings } = fromFile(`
# 256 Tokens per KV Chunk
chunk_size: 256
# Enable Disk backend
local_disk: "file:///local/disk_test/local_disk/"
max_local_disk_size: 5.0
extra_config: {'use_odirect': True}
`);
    expect(config.extraConfig.useOdirect).toBe(true);
    expect(warnings).toEqual([]);
  });

  test("many disks without a scheme, and a key out of scope", () => {
    const { config, warnings } = fromFile(`
local_cpu: false
local_disk: "/nvme0/,/nvme2/,/nvme3/"
local_disk_path_sharding: "by_gpu"
max_local_disk_size: 4096.0
extra_config: {'use_odirect': True}
use_gpu_connector_v3: true
`);
    expect(config.localDiskPaths).toEqual(["/nvme0", "/nvme2", "/nvme3"]);
    expect(warnings).toEqual(["Not supported here and ignored: use_gpu_connector_v3"]);
  });

  test("everything off, in Python's words", () => {
    const { config, warnings } = fromFile(`
chunk_size: 256
local_cpu: True
max_local_cpu_size: 5.0
local_disk: None
max_local_disk_size: 0
remote_url: null
remote_serde: NULL
enable_p2p: False
`);
    expect(config).toMatchObject({ localDiskPaths: [], remoteUrl: undefined });
    expect(warnings).toEqual([]);
  });

  test("peer-to-peer and histogram entries are left alone", () => {
    const { config, warnings } = fromFile(`
extra_config:
  p2p_socket_recv_timeout_ms: 30000
  histogram_bucket_retrieve_speed: [100, 500, 1000]
`);
    expect(config.extraConfig.rest).toEqual({
      p2p_socket_recv_timeout_ms: 30_000,
      histogram_bucket_retrieve_speed: [100, 500, 1000],
    });
    expect(warnings).toEqual([]);
  });

  test("the first releases' local_device is reported", () => {
    expect(fromFile("chunk_size: 256\nlocal_device: cpu\n").warnings).toEqual([
      "Not supported here and ignored: local_device",
    ]);
  });
});

describe("environments that the vLLM production stack makes of values files", () => {
  const common = {
    PYTHONHASHSEED: "123",
    VLLM_RPC_TIMEOUT: "1000000",
    LMCACHE_USE_EXPERIMENTAL: "True",
    LMCACHE_LOG_LEVEL: "INFO",
  };

  test("cpuOffloadingBufferSize", () => {
    const { config, warnings } = fromEnv({
      ...common,
      LMCACHE_LOCAL_CPU: "True",
      LMCACHE_MAX_LOCAL_CPU_SIZE: "20",
    });
    expect(config.maxLocalCpuSizeBytes).toBe(20 * GB);
    expect(warnings).toEqual([]);
  });

  test("cpuOffloadingBufferSize and diskOffloadingBufferSize with a volume", () => {
    const { config, warnings } = fromEnv({
      ...common,
      LMCACHE_LOCAL_DISK: "file:///kv-store-disk/",
      LMCACHE_LOCAL_CPU: "True",
      LMCACHE_MAX_LOCAL_CPU_SIZE: "128",
      LMCACHE_MAX_LOCAL_DISK_SIZE: "640",
    });
    expect(config.localDiskPaths).toEqual(["/kv-store-disk"]);
    expect(warnings).toEqual([]);
  });

  test("sizes of the operator, with units and as zero", () => {
    const { config } = fromEnv({
      LMCACHE_MAX_LOCAL_CPU_SIZE: "4Gi",
      LMCACHE_MAX_LOCAL_DISK_SIZE: "8Gi",
    });
    expect(config).toMatchObject({
      maxLocalCpuSizeBytes: 4 * GB,
      maxLocalDiskSizeBytes: 8 * GB,
    });
    expect(fromEnv({ LMCACHE_MAX_LOCAL_DISK_SIZE: "0" }).warnings).toEqual([]);
  });

  test("KV-aware routing: the controller's keys are one warning", () => {
    const { config, warnings } = fromEnv({
      ...common,
      LMCACHE_MAX_LOCAL_CPU_SIZE: "60",
      LMCACHE_ENABLE_CONTROLLER: "True",
      LMCACHE_LMCACHE_INSTANCE_ID: "vllm-pod-1",
      LMCACHE_CONTROLLER_PULL_URL: "vllm-router-service:9000",
      LMCACHE_LMCACHE_WORKER_PORTS: "8001",
      LMCACHE_P2P_HOST: "localhost",
      LMCACHE_P2P_INIT_PORTS: "30081",
      LMCACHE_LMCACHE_WORKER_HEARTBEAT_TIME: "30",
    });
    expect(config.instanceId).toBe("vllm-pod-1");
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(/^Not supported here and ignored: LMCACHE_ENABLE_CONTROLLER, /);
  });

  test("Ray cluster: single prefixes are understood", () => {
    const { config, warnings } = fromEnv({
      LMCACHE_INSTANCE_ID: "ray-1",
      LMCACHE_CONTROLLER_URL: "localhost:9000",
      LMCACHE_WORKER_PORT: "8001",
    });
    expect(config.instanceId).toBe("ray-1");
    expect(warnings).toHaveLength(1);
  });

  test.each([
    "lm://vllm-cache-server-service:81",
    "redis://your-redis-host:6379",
    "mooncakestore://127.0.0.1:50051/",
    "infinistore://127.0.0.1:12345/?device=mlx5_1",
    "fs://host:0/tmp/lmcache",
    "mock://100/?peeking_latency=1&read_throughput=2&write_throughput=2",
  ])("remote tier: %s", (url) => {
    expect(fromEnv({ LMCACHE_REMOTE_URL: url }).config.remoteUrl).toBe(url);
  });

  test.each([
    ["Ray cluster, which names no path", "LMCACHE_LOCAL_DISK", "True"],
    ["disaggregated prefill, which has no pool", "LMCACHE_MAX_LOCAL_CPU_SIZE", "0"],
    ["a serde that does not exist", "LMCACHE_REMOTE_SERDE", "json"],
  ])("%s: %s=%s is refused", (_, variable, value) => {
    expect(usageErrorOf(() => fromEnv({ [variable]: value })).message).toContain(
      `from environment variable ${variable}: `,
    );
  });
});
