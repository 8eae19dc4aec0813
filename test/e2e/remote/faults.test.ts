import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  type TestAnswer,
  type TestEngine,
  answer,
  expectSameUpToRounding,
  openEngine,
  promptOf,
} from "../engine/engines.ts";
import { CacheServerProcess } from "./cache-server-process.ts";
import { type Fault, FaultProxy } from "./fault-proxy.ts";

/** More of them take longer: `WARMKV_TEST_CLIENTS=8` is the whole form of these tests. */
const NUM_CLIENTS = Number(process.env["WARMKV_TEST_CLIENTS"] ?? 2);
const PROMPT_TOKENS = 1_200;
/** The longest that a load may wait; a lookup waits no longer either. */
const LOAD_BUDGET_MS = 2_000;
/** Other work on the machine. */
const SLACK_MS = 2_000;
/** Requests side by side are computed in batches that differ from time to time: up to 0.15 without any cache. */
const TOLERANCE = 0.3;

const prompts = Array.from({ length: NUM_CLIENTS }, (_, seed) => promptOf(PROMPT_TOKENS, seed + 1));

interface TimedAnswer extends TestAnswer {
  readonly durationMs: number;
}

let server: CacheServerProcess;
let proxy: FaultProxy;
let plain: TestEngine;
let engine: TestEngine;
let expected: readonly TimedAnswer[];
let coldMs: number;

beforeAll(async () => {
  server = await CacheServerProcess.start();
  proxy = await FaultProxy.start(server.port);
  plain = await openEngine();
  engine = await openEngine({
    cacheOptions: {
      // Nothing is kept here: each request needs the server.
      localCpu: false,
      maxLocalCpuSize: "64MiB",
      remoteUrl: `lm://127.0.0.1:${proxy.port}`,
      blockingTimeoutSecs: LOAD_BUDGET_MS / 1000,
    },
  });
  expected = await askAll(plain);
  coldMs = Math.max(...expected.map(({ durationMs }) => durationMs));
  await askAll(engine);
});
afterAll(async () => {
  const { pool } = engine.cache!;
  await engine[Symbol.asyncDispose]();
  pool.assertAllFree();
  await plain[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function askAll({ engine: asked }: TestEngine): Promise<TimedAnswer[]> {
  return await Promise.all(
    prompts.map(async (prompt) => {
      const startedMs = performance.now();
      const answered = await answer(asked, prompt);
      return { ...answered, durationMs: performance.now() - startedMs };
    }),
  );
}

/** All requests are answered rightly, none of them much later than it would have been without a cache. */
async function askDuringFault(): Promise<number[]> {
  const answers = await askAll(engine);
  for (const [client, each] of answers.entries()) {
    expectSameUpToRounding(each, expected[client]!, TOLERANCE);
    expect(each.durationMs).toBeLessThan(2 * coldMs + LOAD_BUDGET_MS + SLACK_MS);
  }
  return answers.map(({ numCachedTokens }) => numCachedTokens);
}

/** Without anything being restarted here, all of it comes from the server again. */
async function warm(): Promise<void> {
  const isWarm = async (): Promise<boolean> => {
    const answers = await askAll(engine);
    await engine.cache!.flush();
    return answers.every(({ numCachedTokens }) => numCachedTokens === PROMPT_TOKENS - 1);
  };
  await expect.poll(isWarm, { timeout: 60_000, interval: 200 }).toBe(true);
  // Nothing leaks: with nothing under way every slab is home.
  await expect.poll(() => engine.cache!.pool.usedBytes).toBe(0);
}

describe(`a cache server that ${NUM_CLIENTS} clients need`, () => {
  const faults: readonly [string, Fault][] = [
    ["refuses connections", { kind: "refuse" }],
    ["accepts and never answers", { kind: "freeze" }],
    ["answers with 1 MB/s", { kind: "slow", bytesPerSecond: 1e6 }],
    ["answers with a wrong byte in each KB", { kind: "corrupt", everyBytes: 1_000 }],
    ["answers with a wrong byte in each 50 KB", { kind: "corrupt", everyBytes: 50_000 }],
    ["closes before it answers", { kind: "half", numBytes: 0 }],
    ["closes within the head of its answer", { kind: "half", numBytes: 20 }],
    ["closes within the body of its answer", { kind: "half", numBytes: 50_000 }],
    ["resets when it is asked", { kind: "reset", after: "request", numBytes: 0 }],
    ["resets within a question", { kind: "reset", after: "request", numBytes: 200 }],
    [
      "resets within a body that it is given",
      { kind: "reset", after: "request", numBytes: 50_000 },
    ],
    ["resets before it answers", { kind: "reset", after: "answer", numBytes: 0 }],
    ["resets within the body of its answer", { kind: "reset", after: "answer", numBytes: 50_000 }],
  ];

  test("answers as it should", warm);

  test.each(faults)("%s: requests succeed, and are warm again afterwards", async (_, fault) => {
    await proxy.set(fault);
    await askDuringFault();
    await askDuringFault();
    await proxy.set({ kind: "none" });
    await warm();
  });

  test("is frozen: requests succeed, and are warm again when it goes on", async () => {
    server.signal("SIGSTOP");
    await askDuringFault();
    expect(await askDuringFault()).toEqual(prompts.map(() => 0));
    server.signal("SIGCONT");
    await warm();
  });

  test("is frozen while requests run", async () => {
    const asked = askDuringFault();
    await new Promise((resolve) => setTimeout(resolve, 20));
    server.signal("SIGSTOP");
    await asked;
    server.signal("SIGCONT");
    await warm();
  });

  test("is killed, and comes back with nothing: requests succeed, and are warm again", async () => {
    const asked = askDuringFault();
    await server[Symbol.asyncDispose]();
    await asked;
    expect(await askDuringFault()).toEqual(prompts.map(() => 0));
    server = await CacheServerProcess.start(server.port);
    await warm();
  });
});

test("a server whose name nobody knows costs nothing but the hits", async () => {
  await using lonely = await openEngine({
    cacheOptions: {
      localCpu: false,
      maxLocalCpuSize: "64MiB",
      remoteUrl: "lm://no-such-host.invalid:65432",
      blockingTimeoutSecs: LOAD_BUDGET_MS / 1000,
    },
  });
  for (const answers of [await askAll(lonely), await askAll(lonely)]) {
    for (const [client, each] of answers.entries()) {
      expectSameUpToRounding(each, expected[client]!, TOLERANCE);
      expect(each.durationMs).toBeLessThan(2 * coldMs + LOAD_BUDGET_MS + SLACK_MS);
    }
  }
});
