import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type CacheOptions, loadCacheConfig } from "../../../src/config/index.ts";
import { createConnector } from "../../../src/connector/index.ts";
import type { EngineKvLayout } from "../../../src/connector/index.ts";
import { FakeEngine, LogLines, layout, makeTokens } from "../cache/cache-fixtures.ts";

const tokens = makeTokens(1000);
/** The fake engine wants its bytes back exactly: no rows are found, and they go as they are. */
const ofHalves = { findHalfRows: () => undefined };

let directory: string;
let log: LogLines;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-int8-"));
  log = new LogLines();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** @returns the number of tokens that an engine of its own loads, which then stores the others */
async function serve(
  remoteSerde: string,
  changes: Partial<EngineKvLayout> = ofHalves,
  overrides: CacheOptions = {},
): Promise<number> {
  const options = {
    remoteUrl: `fs://${directory}/remote`,
    localDisk: path.join(directory, "disk"),
    maxLocalDiskSize: "4MiB",
    maxLocalCpuSize: "4MiB",
    remoteSerde,
    ...overrides,
  };
  const { config } = loadCacheConfig({ env: {}, cwd: directory, overrides: options });
  const connected = await createConnector({
    config,
    layout: { ...layout, ...changes },
    logger: log,
  });
  const { connector, cache } = connected;
  try {
    const request = { id: "r", tokens, numPromptTokens: tokens.length, priority: 0 };
    const engine = new FakeEngine(cache!.pool);
    let numLoaded: number;
    {
      using match = await connector.lookup(request, 0);
      numLoaded = await connector.load(match, 0, engine, new AbortController().signal);
    }
    expect(engine.holds(tokens, numLoaded)).toBe(true);
    engine.trim(numLoaded);
    engine.compute(tokens);
    await connector.save(request, tokens.length, true, engine);
    connector.finish(request);
    await connector.flush();
    return numLoaded;
  } finally {
    await connector.close();
  }
}

describe("remote_serde int8", () => {
  test("engines that have it share with each other", async () => {
    expect([await serve("int8"), await serve("int8")]).toEqual([0, 999]);
    const names = await readdir(path.join(directory, "remote"));
    expect(names.every((name) => name.startsWith("warmkv-int8@fake@"))).toBe(true);
    expect(log.lines.join("\n")).not.toContain("remote_serde");
  });

  test("engines with exact KV never load from them, nor they from those: not from disk either", async () => {
    expect(await serve("int8")).toBe(0);
    expect(await serve("naive")).toBe(0);
    await rm(path.join(directory, "remote"), { recursive: true });
    expect([await serve("int8"), await serve("naive")]).toEqual([999, 999]);
  });

  test("a model whose KV is made otherwise goes without, says so, and shares exact KV", async () => {
    expect([await serve("naive", {}), await serve("int8", {})]).toEqual([0, 999]);
    expect(log.lines).toContain(
      "remote_serde int8 is for models with attention over all tokens and a KV cache of f16, which fake is not: " +
        "chunks are stored as they are (naive)",
    );
  });

  test("without a remote store it changes nothing", async () => {
    const local = { remoteUrl: null };
    expect(await serve("naive", ofHalves, local)).toBe(0);
    expect(await serve("int8", ofHalves, local)).toBe(999);
  });
});
