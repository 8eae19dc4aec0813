import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CacheOptions, loadCacheConfig } from "../../../src/config/index.ts";
import { CacheConnector, NullConnector, createConnector } from "../../../src/connector/index.ts";
import type { ConnectedCache, EngineKvLayout, KvRequest } from "../../../src/connector/index.ts";
import { FakeEngine, LogLines, layout, makeTokens } from "../cache/cache-fixtures.ts";

const never = new AbortController().signal;

describe("createConnector()", () => {
  let directory: string;
  let log: LogLines;
  const opened: ConnectedCache[] = [];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "warmkv-connector-"));
    log = new LogLines();
  });
  afterEach(async () => {
    for (const { connector } of opened.splice(0)) await connector.close();
    await rm(directory, { recursive: true });
  });

  async function open(
    overrides: CacheOptions,
    changes: Partial<EngineKvLayout> = {},
  ): Promise<ConnectedCache> {
    const { config } = loadCacheConfig({ env: {}, cwd: directory, overrides });
    const connected = await createConnector({
      config,
      layout: { ...layout, ...changes },
      logger: log,
    });
    opened.push(connected);
    return connected;
  }

  /** @returns the number of tokens loaded */
  async function serve({ connector, cache }: ConnectedCache, tokens: Int32Array): Promise<number> {
    const request: KvRequest = { id: "r", tokens, numPromptTokens: tokens.length, priority: 0 };
    const engine = new FakeEngine(cache!.pool);
    let numLoaded: number;
    {
      using match = await connector.lookup(request, 0);
      numLoaded = await connector.load(match, 0, engine, never);
    }
    expect(engine.holds(tokens, numLoaded)).toBe(true);
    engine.trim(numLoaded);
    engine.compute(tokens);
    await connector.save(request, tokens.length, true, engine);
    connector.finish(request);
    await connector.flush();
    return numLoaded;
  }

  test("builds a cache in RAM", async () => {
    const connected = await open({ maxLocalCpuSize: "4MiB", lmcacheInstanceId: "box-1" });
    const tokens = makeTokens(1000);
    expect(connected.connector).toBeInstanceOf(CacheConnector);
    expect(await serve(connected, tokens)).toBe(0);
    expect(await serve(connected, tokens)).toBe(999);
    expect(log.lines).toContain("Creating LMCacheEngine instance box-1");
  });

  test("builds a cache on disk that survives, with and without a hot cache in RAM", async () => {
    const tokens = makeTokens(1000);
    const overrides = { maxLocalCpuSize: "4MiB", localDisk: "kv", maxLocalDiskSize: "16MiB" };
    const first = await open(overrides);
    expect(await serve(first, tokens)).toBe(0);
    await opened.pop()!.connector.close();
    expect(await readdir(join(directory, "kv"))).toHaveLength(4);

    const second = await open({ ...overrides, localCpu: false });
    expect(await serve(second, tokens)).toBe(999);
    expect(await second.cache!.locate(tokens)).toEqual({ LocalDiskBackend: 1000 });
    const third = await open(overrides);
    expect(await serve(third, tokens)).toBe(999);
    expect(await third.cache!.locate(tokens)).toEqual({
      LocalCPUBackend: 1000,
      LocalDiskBackend: 1000,
    });
  });

  test("a pool that is smaller than a chunk is refused by its setting's name", async () => {
    await expect(open({ maxLocalCpuSize: "4KiB" })).rejects.toThrow(
      "Cannot use max_local_cpu_size of 4.00 KiB: wanted room for one chunk at least, which takes 12.00 KiB",
    );
  });

  test.each([
    ["a chunk where the model has chunks", { statePartBytes: () => 100_000 }, 12_288],
    [
      "a state part where it has nothing else",
      { tokenPartBytes: () => 0, statePartBytes: () => 100_000 },
      106_496,
    ],
    [
      "a quarter of the state part of a chunk's tokens where it grows",
      { tokenPartBytes: () => 0, statePartBytes: (position: number) => 100 * position },
      8192,
    ],
  ])("a slab has room for %s", async (_, changes, slabBytes) => {
    const { cache } = await open({ maxLocalCpuSize: "4MiB" }, changes);
    expect(cache!.pool.slabBytes).toBe(slabBytes);
  });

  test("a location without a tier is refused", async () => {
    await expect(
      open({ maxLocalCpuSize: "1MiB", retrieveLocations: "RemoteBackend" }),
    ).rejects.toThrow(/retrieve_locations "RemoteBackend": wanted one of .* LocalCPUBackend/);
  });

  test("a cache without any tier keeps nothing and says so", async () => {
    const connected = await open({ maxLocalCpuSize: "1MiB", localCpu: false });
    const tokens = makeTokens(600);
    expect(await serve(connected, tokens)).toBe(0);
    expect(await serve(connected, tokens)).toBe(0);
    expect(log.lines).toContain("KV caching has no tier to store in: nothing will be kept");
  });
});

test("NullConnector matches, loads and saves nothing", async () => {
  const connector = new NullConnector();
  using match = await connector.lookup();
  expect(match.numTokens).toBe(0);
  expect(await connector.load(match, 7)).toBe(7);
  expect(await connector.save()).toBe(0);
  connector.finish();
  await connector.flush();
  await connector.close();
});
