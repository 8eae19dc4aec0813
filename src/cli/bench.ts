import { tmpdir } from "node:os";
import { Command, Option } from "commander";
import * as bench from "../bench/index.ts";
import { parseSizeBytes, UsageError } from "../core/index.ts";
import { plotFormat, renderPlot } from "../plot/index.ts";
import { throughputCommand } from "./bench-throughput.ts";
import { fail, interruptibly, saySaved } from "./benchmark.ts";
import { listOf, wholeNumber } from "./flags.ts";

const DEMO_DIRECTORY = "bench-results";

const HELP = `
Examples:
  warmkv bench query-twice
  warmkv bench throughput --peer http://127.0.0.1:8081/v1
  warmkv bench tiers
  warmkv bench remote --url lm://127.0.0.1:65432`;

const QUERY_TWICE_HELP = `
Starts a server of its own unless --url names one. LMCACHE_* variables and flags behind "--" are
passed on to it; with such flags there is no floor, which is measured with the usual ones. Exits with 1
when the answers differ or the second request reused nothing.

Examples:
  warmkv bench query-twice
  warmkv bench query-twice --model model.gguf --prompt-tokens 15410 --repeat 5 --plot ttft.svg
  warmkv bench query-twice --url http://127.0.0.1:8000/v1 --json result.json
  warmkv bench query-twice --compare-cache-off --repeat 7
  LMCACHE_LOCAL_CPU=False LMCACHE_REMOTE_URL=lm://127.0.0.1:65432 warmkv bench query-twice
  LMCACHE_CHUNK_SIZE=512 warmkv bench query-twice -- --kv-cache-dtype q8_0`;

const TIERS_HELP = `
Put, get and lookup of each tier against memcpy (CPU RAM) and against plain reads and writes of the same
files (disk, with and without O_DIRECT), in turns.

Examples:
  warmkv bench tiers
  warmkv bench tiers --dir /mnt/nvme --chunk-size 4MiB --chunks 512 --json tiers.json --plot tiers.png`;

const REMOTE_HELP = `
Put, get and lookup of a remote store in turns with the same bytes over plain TCP of the loopback to another
process. Beside Redis and Valkey redis-benchmark is run where it is installed. What is put is removed again where the
store can do that.

Examples:
  warmkv bench remote --url lm://127.0.0.1:65432
  warmkv bench remote --url redis://127.0.0.1:6379 --value-sizes 8MiB --json redis.json --plot redis.png`;

/** `warmkv bench ...` */
export function benchCommand(): Command {
  return new Command("bench")
    .description("measure what a warm cache gains, and what the engine does")
    .addCommand(queryTwiceCommand())
    .addCommand(throughputCommand())
    .addCommand(tiersCommand())
    .addCommand(remoteCommand())
    .addHelpText("after", HELP);
}

interface QueryTwiceFlags {
  readonly model?: string;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly repeat: number;
  readonly warmRequests: number;
  readonly threads: number;
  readonly url?: string;
  readonly apiKey?: string;
  readonly json?: string;
  readonly plot?: string;
  readonly compareCacheOff?: true;
  readonly demo?: true;
}

function queryTwiceCommand(): Command {
  const withCount = (name: string, text: string, min: number, max: number, value: number): Option =>
    new Option(`${name} <n>`, text).argParser(wholeNumber(name, min, max)).default(value);
  return new Command("query-twice")
    .description("send one long prompt again and compare the times to the first token")
    .argument("[serve flags...]", 'behind "--": more flags for the server that is started')
    .option("--model <model>", "what to serve, as for `warmkv serve` (default: synth:25m)")
    .addOption(withCount("--prompt-tokens", "length of the prompt", 32, 1_000_000, 8000))
    .addOption(withCount("--max-tokens", "length of each answer", 1, 100_000, 32))
    .addOption(withCount("--repeat", "rounds, each with a new prompt", 1, 1000, 1))
    .addOption(withCount("--warm-requests", "how often each prompt is sent again", 1, 1000, 5))
    .addOption(withCount("--threads", "threads of the server that is started", 1, 1024, 1))
    .option("--url <url>", "measure this OpenAI-compatible server instead of starting one")
    .option("--api-key <key>", "for --url (default: OPENAI_API_KEY)")
    .option("--json <file>", "write the report as JSON")
    .option("--plot <file>", "draw the times (.svg or .png)")
    .addOption(
      new Option(
        "--compare-cache-off",
        "only cold prompts: a server with the cache on against one with it off",
      ).conflicts(["url", "plot", "demo"]),
    )
    .addOption(
      new Option("--demo", "explain, and save plot and report in bench-results/").conflicts([
        "url",
        "model",
      ]),
    )
    .addHelpText("after", QUERY_TWICE_HELP)
    .action(runQueryTwice);
}

async function runQueryTwice(serveArgs: string[], flags: QueryTwiceFlags): Promise<void> {
  if (flags.url !== undefined && serveArgs.length > 0) {
    throw new UsageError(
      `Cannot pass "${serveArgs.join(" ")}" on: with --url no server is started`,
    );
  }
  const plotFile = flags.plot ?? (flags.demo && `${DEMO_DIRECTORY}/query-twice.png`);
  const jsonFile = flags.json ?? (flags.demo && `${DEMO_DIRECTORY}/query-twice.json`);
  if (plotFile !== undefined) plotFormat(plotFile);

  if (flags.demo) console.log(bench.demoIntroduction(flags.promptTokens));
  await interruptibly(async (progress, signal) => {
    await using demo = flags.demo && (await bench.demoEnvironment(process.env));
    const settings: bench.BenchSettings = {
      url: flags.url,
      apiKey: flags.apiKey ?? process.env["OPENAI_API_KEY"] ?? "none",
      model: flags.model,
      numPromptTokens: flags.promptTokens,
      maxTokens: flags.maxTokens,
      numRounds: flags.repeat,
      numWarmRequests: flags.warmRequests,
      numThreads: flags.threads,
      serveArgs,
      env: demo ? demo.env : process.env,
      progress,
      signal,
    };
    let report: bench.QueryTwiceReport | bench.CacheOverheadReport;
    if (flags.compareCacheOff) {
      report = await bench.runCacheOverhead(settings);
      console.log(bench.cacheOverheadTable(report));
      if (report.overheadPercent > bench.MAX_OVERHEAD_PERCENT) {
        fail(`The cache makes cold requests more than ${bench.MAX_OVERHEAD_PERCENT} % slower.`);
      }
    } else {
      report = await bench.runQueryTwice(settings);
      console.log(bench.queryTwiceTable(report));
      bench.queryTwiceFailures(report).forEach(fail);
      if (flags.demo) console.log(`\n${bench.demoExplanation(report)}\n`);
      if (plotFile !== undefined) await renderPlot(bench.queryTwicePlot(report), plotFile);
    }
    if (jsonFile !== undefined) await bench.writeReport(report, jsonFile);
    saySaved(plotFile, jsonFile);
  });
}

interface TiersFlags {
  readonly dir: string;
  readonly chunkSize: number;
  readonly chunks: number;
  readonly concurrency: number;
  readonly repeat: number;
  readonly json?: string;
  readonly plot?: string;
}

function tiersCommand(): Command {
  const withCount = (name: string, text: string, max: number, value: number): Option =>
    new Option(`${name} <n>`, text).argParser(wholeNumber(name, 1, max)).default(value);
  return new Command("tiers")
    .description("measure how fast each tier moves KV, beside the plain way to move it")
    .option("--dir <directory>", "where the disk tier writes", tmpdir())
    .addOption(
      new Option("--chunk-size <size>", "KV of one chunk")
        .argParser((text) => parseSizeBytes(text, "--chunk-size"))
        .default(2 ** 20, "1MiB"),
    )
    .addOption(withCount("--chunks", "chunks in each round", 100_000, 200))
    .addOption(withCount("--concurrency", "files read or written at a time", 64, 4))
    .addOption(withCount("--repeat", "rounds", 1000, 9))
    .option("--json <file>", "write the report as JSON")
    .option("--plot <file>", "draw the speeds (.svg or .png)")
    .addHelpText("after", TIERS_HELP)
    .action(runTiers);
}

async function runTiers(flags: TiersFlags): Promise<void> {
  if (flags.plot !== undefined) plotFormat(flags.plot);
  await interruptibly(async (progress, signal) => {
    const report = await bench.runTiers({
      directory: flags.dir,
      payloadBytes: flags.chunkSize,
      numChunks: flags.chunks,
      concurrency: flags.concurrency,
      numRounds: flags.repeat,
      progress,
      signal,
    });
    console.log(bench.tiersTable(report));
    if (flags.plot !== undefined) await renderPlot(bench.tiersPlot(report), flags.plot);
    if (flags.json !== undefined) await bench.writeReport(report, flags.json);
    saySaved(flags.plot, flags.json);
  });
}

interface RemoteFlags {
  readonly url: string;
  readonly authToken?: string;
  readonly valueSizes: readonly number[];
  readonly concurrency: readonly number[];
  readonly bytes: number;
  readonly repeat: number;
  readonly json?: string;
  readonly plot?: string;
}

function remoteCommand(): Command {
  const sizes = listOf((text) => parseSizeBytes(text, "--value-sizes"));
  return new Command("remote")
    .description("measure a remote store beside plain TCP")
    .requiredOption("--url <url>", "the store, as in remote_url")
    .option("--auth-token <token>", "for a cache server that wants one")
    .addOption(
      new Option("--value-sizes <sizes>", "one after the other")
        .argParser(sizes)
        .default(sizes("1MiB,8MiB,32MiB"), "1MiB,8MiB,32MiB"),
    )
    .addOption(
      new Option("--concurrency <numbers>", "values at a time, one after the other")
        .argParser(listOf(wholeNumber("--concurrency", 1, 64)))
        .default([1, 4], "1,4"),
    )
    .addOption(
      new Option("--bytes <size>", "put and got in each round; the store must have room for it")
        .argParser((text) => parseSizeBytes(text, "--bytes"))
        .default(2 ** 28, "256MiB"),
    )
    .addOption(
      new Option("--repeat <n>", "rounds").argParser(wholeNumber("--repeat", 1, 1000)).default(5),
    )
    .option("--json <file>", "write the report as JSON")
    .option("--plot <file>", "draw the speeds (.svg or .png)")
    .addHelpText("after", REMOTE_HELP)
    .action(runRemote);
}

async function runRemote(flags: RemoteFlags): Promise<void> {
  if (flags.plot !== undefined) plotFormat(flags.plot);
  await interruptibly(async (progress, signal) => {
    const report = await bench.runRemote({
      url: flags.url,
      token: flags.authToken,
      valueSizesBytes: flags.valueSizes,
      concurrencies: flags.concurrency,
      roundBytes: flags.bytes,
      numRounds: flags.repeat,
      progress,
      signal,
    });
    console.log(bench.remoteTable(report));
    if (flags.plot !== undefined) await renderPlot(bench.remotePlot(report), flags.plot);
    if (flags.json !== undefined) await bench.writeReport(report, flags.json);
    saySaved(flags.plot, flags.json);
  });
}
