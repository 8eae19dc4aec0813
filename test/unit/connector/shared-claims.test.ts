import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CacheServer, openCacheServer } from "../../../src/cache-server/index.ts";
import { loadCacheConfig } from "../../../src/config/index.ts";
import { createConnector } from "../../../src/connector/index.ts";
import type {
  ConnectedCache,
  EngineKvLayout,
  KvRequest,
  KvRole,
} from "../../../src/connector/index.ts";
import { MiB } from "../../../src/core/index.ts";
import { FakeEngine, LogLines, layout, makeTokens } from "../cache/cache-fixtures.ts";
import { LmcacheServer } from "../remotes/lm/lmcache-server.ts";

const never = new AbortController().signal;
const tokens = makeTokens(1000);

describe("engines with remote_claim_ms", () => {
  let server: CacheServer;
  let log: LogLines;
  const opened: ConnectedCache[] = [];
  let nextId = 0;

  beforeEach(async () => {
    log = new LogLines();
    server = await openCacheServer({
      port: 0,
      maxLocalCpuSizeBytes: 8 * MiB,
      cachePolicy: "LRU",
      localDiskPaths: [],
      maxLocalDiskSizeBytes: 0,
    });
  });
  afterEach(async () => {
    for (const { connector } of opened.splice(0)) await connector.close();
    await server[Symbol.asyncDispose]();
  });

  async function connect(
    remoteUrl: string | undefined = server.url,
    changes: Partial<EngineKvLayout> = {},
    role?: KvRole,
    estimatePrefillMs?: (numTokens: number) => number,
  ): Promise<ConnectedCache> {
    const { config } = loadCacheConfig({
      env: {},
      cwd: "/",
      overrides: {
        remoteUrl,
        maxLocalCpuSize: "4MiB",
        extraConfig: { remote_claim_ms: 60_000 },
      },
    });
    const connected = await createConnector({
      config,
      layout: { ...layout, ...changes },
      role,
      estimatePrefillMs,
      logger: log,
    });
    opened.push(connected);
    return connected;
  }
  const newRequest = (prompt = tokens): KvRequest => {
    return { id: `r${nextId++}`, tokens: prompt, numPromptTokens: prompt.length, priority: 0 };
  };
  async function load(
    { connector, cache }: ConnectedCache,
    request: KvRequest,
    signal = never,
  ): Promise<number> {
    const engine = new FakeEngine(cache!.pool);
    using match = await connector.lookup(request, 0, signal);
    const numLoaded = await connector.load(match, 0, engine, signal);
    expect(engine.holds(request.tokens, numLoaded)).toBe(true);
    return numLoaded;
  }
  /** Computes a prompt up to a token. */
  async function compute(
    { connector, cache }: ConnectedCache,
    request: KvRequest,
    to = request.tokens.length,
  ): Promise<void> {
    const engine = new FakeEngine(cache!.pool);
    engine.compute(request.tokens, to);
    await connector.save(request, to, false, engine);
  }

  test("the second waits for the first one's prompt and loads all of it", async () => {
    const [one, other] = [await connect(), await connect()];
    const request = newRequest();
    expect(await load(one, request)).toBe(0);
    const loading = load(other, newRequest());
    await compute(one, request, 512);
    await compute(one, request);
    expect(await loading).toBe(999);
    expect(log.lines.filter((line) => line.includes("waited"))).toHaveLength(1);
  });

  test("the claim ends with the prompt and not with the answer", async () => {
    const [one, other] = [await connect(), await connect()];
    const request = newRequest();
    await load(one, request);
    await compute(one, request);
    await one.connector.flush();
    await one.cache!.clear({ tokens });
    expect(await load(other, newRequest())).toBe(0);
    expect(log.lines.filter((line) => line.includes("waited"))).toHaveLength(0);
  });

  test("the second goes on by itself where its prompt is another one", async () => {
    const [one, other] = [await connect(), await connect()];
    const request = newRequest();
    await load(one, request);
    const branch = Int32Array.from([...tokens.subarray(0, 512), ...makeTokens(500, 3)]);
    const loading = load(other, newRequest(branch));
    await compute(one, request, 512);
    expect(await loading).toBe(512);
  });

  test("a request that ends early is waited for no longer", async () => {
    const [one, other] = [await connect(), await connect()];
    const request = newRequest();
    await load(one, request);
    const loading = load(other, newRequest());
    await compute(one, request, 512);
    one.connector.finish(request);
    expect(await loading).toBe(512);
  });

  test("a wait ends with the request that waits", async () => {
    const [one, other] = [await connect(), await connect()];
    await load(one, newRequest());
    const abort = new AbortController();
    const loading = load(other, newRequest(), abort.signal);
    abort.abort();
    expect(await loading).toBe(0);
  });

  test("with the server gone each computes for itself", async () => {
    const [one, other] = [await connect(), await connect()];
    await load(one, newRequest());
    const loading = load(other, newRequest());
    await server.close(0);
    expect(await loading).toBe(0);
    expect(await load(one, newRequest())).toBe(0);
  });

  test("requests that are not stored claim nothing and wait for nobody", async () => {
    const [one, other] = [await connect(), await connect()];
    const skipping = { ...newRequest(), kvTransferParams: { "lmcache.skip_save": true } };
    expect(await load(one, skipping)).toBe(0);
    expect(await load(other, newRequest())).toBe(0);
    expect(await load(one, skipping)).toBe(0);
    expect(server.stats().numRequests.claim).toBeGreaterThan(0);
  });

  test("what is computed in less than half a second is not claimed", async () => {
    const [one, other] = [await connect(), await connect()];
    const quick = await connect(server.url, {}, undefined, (numTokens) => numTokens * 0.4);
    await load(one, newRequest());
    expect(await load(quick, newRequest())).toBe(0);
    const branch = newRequest(makeTokens(1000, 4));
    await load(quick, branch);
    expect(await load(other, branch)).toBe(0);
    expect(log.lines.filter((line) => line.includes("waited"))).toHaveLength(0);
  });

  test("who has waited waits for the end of the prompt too", async () => {
    const one = await connect();
    const other = await connect(server.url, {}, undefined, (numTokens) => numTokens);
    const request = newRequest();
    await load(one, request);
    const loading = load(other, newRequest());
    await compute(one, request, 768);
    await one.connector.flush();
    // Longer than it takes to look again.
    expect(await Promise.race([loading, delay(300, "waits")])).toBe("waits");
    await compute(one, request);
    expect(await loading).toBe(999);
  });

  test("nobody waits much longer than to compute it would take", async () => {
    const one = await connect();
    const other = await connect(server.url, {}, undefined, () => 500);
    await load(one, newRequest());
    const startedMs = performance.now();
    expect(await load(other, newRequest())).toBe(0);
    expect(performance.now() - startedMs).toBeGreaterThan(700);
    expect(log.lines.filter((line) => line.includes("waited"))).toHaveLength(1);
  });

  test("LMCache's own server knows none, which is said once", async () => {
    await using lmcache = await LmcacheServer.listen();
    const [one, other] = [
      await connect(`lm://${lmcache.host}`),
      await connect(`lm://${lmcache.host}`),
    ];
    for (const engine of [one, other]) expect(await load(engine, newRequest())).toBe(0);
    expect(await load(one, newRequest(makeTokens(900, 5)))).toBe(0);
    expect(log.lines.filter((line) => line.includes("knows no claims"))).toHaveLength(2);
  });

  test.each([
    ["a store that cannot keep them", "blackhole://x", {}, undefined, "cannot keep claims"],
    ["no store", undefined, {}, undefined, "there is no remote_url"],
    ["a model with states", "mock://1", { statePartBytes: () => 64 }, undefined, "the model"],
    ["an engine that stores nothing", "mock://1", {}, "kv_consumer", "kv_role is kv_consumer"],
  ] as const)(
    "with %s the log says that they are of no use",
    async (_, url, changes, role, why) => {
      const connected =
        url === undefined ? await connectWithout() : await connect(url, changes, role);
      expect(await load(connected, newRequest())).toBe(0);
      expect(log.lines.filter((line) => line.includes("remote_claim_ms"))).toEqual([
        expect.stringContaining(why),
      ]);
    },
  );

  async function connectWithout(): Promise<ConnectedCache> {
    const overrides = { maxLocalCpuSize: "4MiB", extraConfig: { remote_claim_ms: 1000 } };
    const { config } = loadCacheConfig({ env: {}, cwd: "/", overrides });
    const connected = await createConnector({ config, layout, logger: log });
    opened.push(connected);
    return connected;
  }
});
