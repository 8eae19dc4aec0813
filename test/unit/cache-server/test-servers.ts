import {
  type CacheServer,
  type CacheServerOptions,
  openCacheServer,
} from "../../../src/cache-server/index.ts";
import { type Clock, MiB } from "../../../src/core/index.ts";
import { RawClient } from "./raw-client.ts";

/** Servers and clients of one test. */
export class TestServers {
  readonly #servers: CacheServer[] = [];
  readonly #clients: RawClient[] = [];

  async open(options: Partial<CacheServerOptions> = {}): Promise<CacheServer> {
    const server = await openCacheServer({
      port: 0,
      maxLocalCpuSizeBytes: 4 * MiB,
      cachePolicy: "LRU",
      localDiskPaths: [],
      maxLocalDiskSizeBytes: 0,
      ...options,
    });
    this.#servers.push(server);
    return server;
  }

  async client(server: CacheServer): Promise<RawClient> {
    const client = await RawClient.connect(server.port);
    this.#clients.push(client);
    return client;
  }

  async close(): Promise<void> {
    for (const client of this.#clients.splice(0)) client[Symbol.dispose]();
    for (const server of this.#servers.splice(0)) await server.close(0);
  }
}

export interface ManualClock extends Clock {
  advance(ms: number): void;
}

export function manualClock(): ManualClock {
  let now = 0;
  return {
    nowMs: () => now,
    wallMs: () => now,
    advance: (ms) => (now += ms),
  };
}
