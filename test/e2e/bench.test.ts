import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { CacheOverheadReport, QueryTwiceReport } from "../../src/bench/index.ts";
import { ServerProcess } from "../../src/bench/server-process.ts";
import type { ThroughputReport } from "../../src/bench/throughput-report.ts";
import type { TiersReport } from "../../src/bench/tiers-report.ts";

const MAIN = new URL("../../dist/cli/main.js", import.meta.url).pathname;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-bench-"));
});
afterAll(() => rm(directory, { recursive: true }));

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command line without quotes in it. */
function warmkv(commandLine: string): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [MAIN, ...commandLine.split(" ")],
      { cwd: directory },
      (error, stdout, stderr) => resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
}

async function readReport<Report>(name: string): Promise<Report> {
  return JSON.parse(await readFile(join(directory, name), "utf8")) as Report;
}

const QUERY_TWICE = "bench query-twice --model synth:1m --max-tokens 8";
const CONSUMER = `{"kv_connector":"LMCacheConnectorV1","kv_role":"kv_consumer"}`;

test("bench query-twice finds the second prompt in the cache of the real server, in each round", async () => {
  const ended = await warmkv(
    `${QUERY_TWICE} --prompt-tokens 1500 --repeat 2 --warm-requests 2 --json out/report.json --plot out/ttft.svg`,
  );
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  expect(ended.stdout).toContain("1,499 of 1,500 tokens from the cache");
  expect(ended.stdout).toContain("saved     out/report.json");

  const report = await readReport<QueryTwiceReport>("out/report.json");
  expect(report.rounds.map(({ cold }) => cold.numCachedTokens)).toEqual([0, 0]);
  expect(report.rounds.map(({ warm }) => warm.map((answer) => answer.numCachedTokens))).toEqual([
    [1499, 1499],
    [1499, 1499],
  ]);
  expect(report).toMatchObject({ isAnswerEqual: true, numHitTokens: 1499 });
  expect(report.rounds[0]!.warm[0]!.tokenTexts).toHaveLength(8);
  expect(report.floor!.kvBytes).toBeGreaterThan(500_000);
  expect(report.floor!.decodeMs).toBeGreaterThan(0);
  expect(report.cacheLogLines.join("\n")).toMatch(/LMCache hit tokens: 0,[^]*hit tokens: 1499,/);
  expect(await readFile(join(directory, "out/ttft.svg"), "utf8")).toMatch(/^<svg/);
});

test("bench query-twice exits with 1 when the second request reuses nothing", async () => {
  const ended = await warmkv(
    `${QUERY_TWICE} --prompt-tokens 100 -- --kv-transfer-config ${CONSUMER}`,
  );
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain("The second request reused only 0 of 100 tokens.");
});

test("bench query-twice exits with 1 and the server's own words when it cannot start", async () => {
  const ended = await warmkv("bench query-twice --model no-such-model.gguf");
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain("no-such-model.gguf");
});

test("bench query-twice --compare-cache-off measures cold prompts on both servers", async () => {
  const ended = await warmkv(
    `${QUERY_TWICE} --prompt-tokens 300 --repeat 3 --compare-cache-off --json overhead.json`,
  );
  // How much it is says nothing for so small a model.
  expect([0, 1]).toContain(ended.code);
  const report = await readReport<CacheOverheadReport>("overhead.json");
  expect(report.rounds).toHaveLength(3);
  expect(report.cacheOnTtftMs.min).toBeGreaterThan(0);
  expect(report.cacheOffTtftMs.min).toBeGreaterThan(0);
});

test("bench throughput measures a server of its own in turns with a peer", async () => {
  await using peer = await ServerProcess.start({
    args: ["serve", "synth:1m", "--port=0", "--threads=1", "--max-model-len=512"],
    env: process.env,
    script: MAIN,
  });
  const ended = await warmkv(
    `bench throughput --model synth:1m --clients 1,3 --prompt-tokens 40 --max-tokens 150 --prefill-tokens 300 --repeat 2 --peer ${peer.url} --json out/throughput.json --plot out/throughput.svg -- --served-model-name own`,
  );
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  const peerName = peer.url.replace("http://", "");
  expect(ended.stdout).toContain(peerName);

  const report = await readReport<ThroughputReport>("out/throughput.json");
  expect(report).toMatchObject({
    numPromptTokens: 40,
    maxTokens: 150,
    numPrefillTokens: 300,
    numRounds: 2,
  });
  expect(report.servers.map(({ name, model }) => [name, model])).toEqual([
    ["warmkv", "own"],
    [peerName, "synth:1m"],
  ]);
  for (const { decodes, prefill } of report.servers) {
    expect(decodes.map(({ numClients }) => numClients)).toEqual([1, 3]);
    for (const decode of decodes) {
      expect(decode).toMatchObject({ numTokens: 150, numSteadyRounds: 2 });
      expect(decode.decodeTokensPerSecond).toMatchObject({ count: 2 });
      expect(decode.decodeTokensPerSecond!.min).toBeGreaterThan(0);
      expect(decode.interTokenMs!.p99).toBeGreaterThanOrEqual(decode.interTokenMs!.median);
    }
    expect(prefill).toMatchObject({ numPromptTokens: 300, numCachedTokens: 0 });
  }
  const [ratio] = report.ratios;
  expect(ratio!.peer).toBe(peerName);
  const [ours, theirs] = report.servers;
  expect(ratio!.prefill).toBeCloseTo(
    ours!.prefill.tokensPerSecond.median / theirs!.prefill.tokensPerSecond.median,
  );
  expect(await readFile(join(directory, "out/throughput.svg"), "utf8")).toMatch(/^<svg/);
});

test("bench tiers measures put, get and lookup of every tier", async () => {
  const ended = await warmkv(
    `bench tiers --dir ${directory} --chunk-size 256KiB --chunks 16 --repeat 2 --json tiers.json --plot tiers.png`,
  );
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  const report = await readReport<TiersReport>("tiers.json");
  const tiers =
    process.platform === "linux" ? ["CPU RAM", "disk", "disk O_DIRECT"] : ["CPU RAM", "disk"];
  expect(report.contests.map(({ tier, operation }) => `${tier} ${operation}`)).toEqual(
    tiers.flatMap((tier) => [`${tier} put`, `${tier} get`]),
  );
  expect(report.lookups.map(({ tier }) => tier)).toEqual(tiers);
  for (const { oursMs, plainMs } of report.contests) {
    expect(Math.min(oursMs.min, plainMs.min)).toBeGreaterThan(0);
  }
});
