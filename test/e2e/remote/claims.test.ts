import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ServerProcess } from "../../../src/bench/server-process.ts";
import type { CacheOptions } from "../../../src/config/index.ts";
import { subscribe } from "../../../src/core/index.ts";
import {
  type TestAnswer,
  type TestEngine,
  answer,
  expectSameUpToRounding,
  openEngine,
  promptOf,
} from "../engine/engines.ts";
import { CacheServerProcess } from "./cache-server-process.ts";

const script = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
/** Long enough to be computed for some seconds: one waits in the middle of the other's work. */
const MODEL = "synth:25m";
const PROMPT_TOKENS = 3_000;
const CLAIM_MS = 1_500;
const BLOCKING_TIMEOUT_SECS = 20;
/** Other work on the machine. */
const SLACK_MS = 10_000;
const TOLERANCE = 0.15;

const cacheOptionsFor = (remoteUrl: string, remoteClaimMs: number): CacheOptions => ({
  maxLocalCpuSize: "128MiB",
  remoteUrl,
  blockingTimeoutSecs: BLOCKING_TIMEOUT_SECS,
  extraConfig: { remote_claim_ms: remoteClaimMs },
});

describe("two engines with one cache server, and claims", () => {
  const prompt = promptOf(PROMPT_TOKENS, 7);
  let alone: TestAnswer;
  let coldMs: number;
  let server: CacheServerProcess;

  beforeAll(async () => {
    await using plain = await openEngine({ model: MODEL });
    const startedMs = performance.now();
    alone = await answer(plain.engine, prompt);
    coldMs = performance.now() - startedMs;
    server = await CacheServerProcess.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const open = (claimMs = CLAIM_MS): Promise<TestEngine> =>
    openEngine({
      model: MODEL,
      cacheOptions: cacheOptionsFor(`lm://127.0.0.1:${server.port}`, claimMs),
    });
  const ask = ({ engine }: TestEngine, cacheSalt: string): Promise<TestAnswer> =>
    answer(engine, prompt, {}, { cacheSalt });
  const numPrefilled = (answers: readonly TestAnswer[]): number =>
    answers.reduce((sum, { numCachedTokens }) => sum + PROMPT_TOKENS - numCachedTokens, 0);

  test("compute the same prompt once when both get it at the same moment", async () => {
    await using one = await open();
    await using other = await open();
    const startedMs = performance.now();
    const answers = await Promise.all([ask(one, "at once"), ask(other, "at once")]);
    const durationMs = performance.now() - startedMs;
    for (const each of answers) expectSameUpToRounding(each, alone, TOLERANCE);
    expect(numPrefilled(answers)).toBeLessThan(1.1 * PROMPT_TOKENS);
    expect(durationMs).toBeLessThan(2 * coldMs + SLACK_MS);
  });

  test("compute it twice without claims", async () => {
    await using one = await open(0);
    await using other = await open(0);
    const answers = await Promise.all([ask(one, "off"), ask(other, "off")]);
    expect(numPrefilled(answers)).toBe(2 * PROMPT_TOKENS);
  });

  test("the other one answers when the one that computes is killed", async () => {
    await using one = await serve(server.port);
    await using other = await open();
    const asking = askOver(one, prompt);
    await expect.poll(() => numClaimsOf(one), { timeout: 20_000, interval: 20 }).toBe(1);

    const waits: number[] = [];
    const stop = subscribe("warmkv:claim:waited", ({ durationMs }) => waits.push(durationMs));
    const startedMs = performance.now();
    const answering = ask(other, "");
    process.kill(one.pid, "SIGKILL");
    expect(await asking).toBe("gone");
    const answered = await answering;
    const durationMs = performance.now() - startedMs;
    stop();
    expectSameUpToRounding(answered, alone, TOLERANCE);
    expect(waits).toHaveLength(1);
    expect(waits[0]).toBeLessThan(CLAIM_MS + SLACK_MS / 10);
    expect(durationMs).toBeLessThan(2 * coldMs + CLAIM_MS + SLACK_MS);
  });
});

function serve(port: number): Promise<ServerProcess> {
  const isForeign = ([name]: [string, unknown]): boolean => !name.startsWith("LMCACHE_");
  return ServerProcess.start({
    script,
    args: ["serve", MODEL, "--port", "0", "--threads", "1"],
    env: {
      ...Object.fromEntries(Object.entries(process.env).filter(isForeign)),
      LMCACHE_REMOTE_URL: `lm://127.0.0.1:${port}`,
      LMCACHE_EXTRA_CONFIG: JSON.stringify({ remote_claim_ms: CLAIM_MS }),
    },
  });
}

async function askOver(server: ServerProcess, prompt: Int32Array): Promise<string> {
  try {
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: MODEL, prompt: [...prompt], max_tokens: 4 }),
    });
    return await response.text();
  } catch {
    return "gone";
  }
}

async function numClaimsOf(server: ServerProcess): Promise<number> {
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  return Number(/^warmkv:prefill_claims_total\S* (\d+)/m.exec(metrics)?.[1] ?? 0);
}
