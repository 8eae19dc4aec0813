import { afterEach, describe, expect, test } from "vitest";
import { frame, putFrame } from "./raw-client.ts";
import { TestServers } from "./test-servers.ts";

describe("the admin endpoints", () => {
  const servers = new TestServers();
  afterEach(() => servers.close());

  test("tell health, readiness, levels and counters", async () => {
    const server = await servers.open({ httpPort: 0 });
    const client = await servers.client(server);
    await client.send(putFrame("k", Buffer.alloc(1000)));
    await client.ask(frame("get", "k"));
    await client.ask(frame("get", "miss"));
    const get = async (path: string): Promise<Response> => fetch(server.httpUrl! + path);
    expect((await get("/health")).status).toBe(200);
    expect((await get("/ready")).status).toBe(200);
    expect((await get("/other")).status).toBe(404);
    expect(await (await get("/stats")).json()).toMatchObject({
      numConnections: 1,
      numRequests: { put: 1, get: 2 },
      numHits: 1,
      numMisses: 1,
      receivedBytes: 1000,
      sentBytes: 1000,
      tiers: { LocalCPUBackend: { numChunks: 1 } },
    });
    const metrics = await (await get("/metrics")).text();
    for (const line of [
      'warmkv:cache_server_requests_total{command="get"} 2',
      "warmkv:cache_server_hits_total 1",
      "warmkv:cache_server_connections 1",
      'warmkv:cache_server_tier_values{tier="LocalCPUBackend"} 1',
    ]) {
      expect(metrics).toContain(`${line}\n`);
    }
  });

  test("are only there when they are asked for", async () => {
    expect((await servers.open()).httpUrl).toBeUndefined();
  });

  test("a port that is taken is told in a sentence", async () => {
    const { port } = await servers.open();
    await expect(servers.open({ port })).rejects.toThrow(
      new RegExp(`^Cannot listen on 127.0.0.1 port ${port}: `),
    );
    await expect(servers.open({ httpPort: port })).rejects.toThrow("for HTTP");
  });
});
