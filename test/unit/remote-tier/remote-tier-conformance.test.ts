import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { openCacheServer } from "../../../src/cache-server/index.ts";
import { silentLogger, systemClock } from "../../../src/core/index.ts";
import type { MemoryPool } from "../../../src/memory/index.ts";
import { openRemote } from "../../../src/remotes/index.ts";
import { RemoteTier } from "../../../src/tiers/index.ts";
import { tierConformance } from "../tiers/conformance.ts";

const serverOptions = {
  port: 0,
  maxLocalCpuSizeBytes: 16 << 20,
  cachePolicy: "LRU",
  localDiskPaths: [],
  maxLocalDiskSizeBytes: 0,
};

async function openTier(url: string, pool: MemoryPool): Promise<RemoteTier> {
  const store = await openRemote(url, {
    timeoutMs: 5_000,
    maxConnections: 4,
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
  });
  return new RemoteTier({ store, pool, modelName: "org/model", timeoutMs: 5_000 });
}

tierConformance("RemoteTier over mock://", async (pool) => {
  return { tier: await openTier("mock://1", pool) };
});

tierConformance("RemoteTier over fs://", async (pool) => {
  const directory = await mkdtemp(path.join(tmpdir(), "warmkv-remote-"));
  const cleanup = (): Promise<void> => rm(directory, { recursive: true, force: true });
  return { tier: await openTier(`fs://${directory}`, pool), cleanup };
});

tierConformance("RemoteTier over lm://", async (pool) => {
  const server = await openCacheServer(serverOptions);
  return { tier: await openTier(server.url, pool), cleanup: () => server.close(0) };
});

tierConformance("RemoteTier over lm:// with two servers", async (pool) => {
  const servers = await Promise.all([
    openCacheServer(serverOptions),
    openCacheServer(serverOptions),
  ]);
  const url = `lm://${servers.map(({ port }) => `127.0.0.1:${port}`).join(",")}`;
  const cleanup = async (): Promise<void> => {
    for (const server of servers) await server.close(0);
  };
  return { tier: await openTier(url, pool), cleanup };
});
