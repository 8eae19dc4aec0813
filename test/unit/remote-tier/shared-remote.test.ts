import { mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type CacheOptions, loadCacheConfig } from "../../../src/config/index.ts";
import { createConnector } from "../../../src/connector/index.ts";
import type { ConnectedCache, EngineKvLayout, KvRequest } from "../../../src/connector/index.ts";
import { UsageError } from "../../../src/core/index.ts";
import { FakeEngine, LogLines, layout, makeTokens } from "../cache/cache-fixtures.ts";

const never = new AbortController().signal;
const tokens = makeTokens(1000);

let directory: string;
let log: LogLines;
const opened: ConnectedCache[] = [];

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-shared-"));
  log = new LogLines();
});
afterEach(async () => {
  for (const { connector } of opened.splice(0)) await connector.close();
  await rm(directory, { recursive: true, force: true });
});

async function connect(
  overrides: CacheOptions = {},
  changes: Partial<EngineKvLayout> = {},
  env?: Record<string, string>,
): Promise<ConnectedCache> {
  const options = { remoteUrl: `fs://${directory}`, maxLocalCpuSize: "4MiB", ...overrides };
  const { config } = loadCacheConfig({ env: {}, cwd: directory, overrides: options });
  const connected = await createConnector({
    config,
    layout: { ...layout, ...changes },
    logger: log,
    env,
  });
  opened.push(connected);
  return connected;
}

/** @returns the number of tokens loaded; what is loaded or computed is right in any case */
async function serve({ connector, cache }: ConnectedCache, prompt = tokens): Promise<number> {
  const request: KvRequest = {
    id: "r",
    tokens: prompt,
    numPromptTokens: prompt.length,
    priority: 0,
  };
  const engine = new FakeEngine(cache!.pool);
  let numLoaded: number;
  {
    using match = await connector.lookup(request, 0);
    numLoaded = await connector.load(match, 0, engine, never);
  }
  expect(engine.holds(prompt, numLoaded)).toBe(true);
  engine.trim(numLoaded);
  engine.compute(prompt);
  await connector.save(request, prompt.length, true, engine);
  connector.finish(request);
  await connector.flush();
  return numLoaded;
}

describe("two engines and one remote store", () => {
  test("what the first has computed the second loads, and keeps in RAM", async () => {
    const first = await connect();
    const second = await connect();
    expect(first.cache!.tiers.tierNames).toEqual(["LocalCPUBackend", "RemoteBackend"]);
    expect(await serve(first)).toBe(0);
    expect(await serve(second)).toBe(999);
    expect(second.cache!.stats().tiers["RemoteBackend"]).toMatchObject({
      numHits: 4,
      numStored: 0,
    });
    await rm(directory, { recursive: true });
    expect(await serve(second)).toBe(999);
  });

  test("the disk comes before the remote store", async () => {
    const disk = { localDisk: path.join(directory, "disk"), maxLocalDiskSize: "4MiB" };
    const { cache } = await connect(disk);
    expect(cache!.tiers.tierNames).toEqual([
      "LocalCPUBackend",
      "LocalDiskBackend",
      "RemoteBackend",
    ]);
  });

  test("a remote store alone is enough", async () => {
    const first = await connect({ localCpu: false });
    const second = await connect({ localCpu: false });
    expect([await serve(first), await serve(second)]).toEqual([0, 999]);
    expect(second.cache!.pool.usedBytes).toBe(0);
  });

  test("another model finds nothing", async () => {
    await serve(await connect());
    expect(await serve(await connect({}, { fingerprint: "ff".repeat(16) }))).toBe(0);
  });

  test("a flipped bit is found before it enters an engine; the chunk is removed and stored anew", async () => {
    await serve(await connect());
    const names = (await readdir(directory)).filter((name) => name.endsWith(".kv"));
    for (const name of names) {
      const file = await open(path.join(directory, name), "r+");
      await file.write(Buffer.from([1]), 0, 1, 4096 + 100);
      await file.close();
    }
    expect(await serve(await connect())).toBe(0);
    expect(log.lines.join("\n")).toMatch(/Removing chunk \w+ of RemoteBackend: wrong payload/);
    for (let round = 0; round < names.length; round++) await serve(await connect());
    expect(await serve(await connect())).toBe(999);
  });

  test("a store that cannot be reached costs nothing but the hits, and is used once it can", async () => {
    const inTheWay = path.join(directory, "mount");
    await writeFile(inTheWay, "");
    const remoteUrl = `fs://${inTheWay}/kv`;
    const first = await connect({ remoteUrl, localCpu: false });
    const second = await connect({ remoteUrl, localCpu: false });
    expect([await serve(first), await serve(second)]).toEqual([0, 0]);
    await rm(inTheWay);
    await expect
      .poll(() => log.lines.filter((line) => line.includes("works again")).length)
      .toBe(2);
    expect([await serve(first), await serve(second)]).toEqual([0, 999]);
  });

  test("variables that set a store are those that were given, and not this process's", async () => {
    const variable = "MOONCAKE_CONFIG_PATH";
    const missing = path.join(directory, "missing.json");
    const mooncake = { remoteUrl: "mooncakestore://127.0.0.1:1" };
    await expect(connect(mooncake, {}, { [variable]: missing })).rejects.toThrow(variable);
    vi.stubEnv(variable, missing);
    try {
      expect((await connect(mooncake)).cache!.tiers.tierNames).toContain("RemoteBackend");
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test.each(["fs://nowhere", "mock://x"])("%s stops the start", async (remoteUrl) => {
    await expect(connect({ remoteUrl })).rejects.toBeInstanceOf(UsageError);
  });
});
