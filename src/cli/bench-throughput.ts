import { Command, Option } from "commander";
import * as bench from "../bench/index.ts";
import { UsageError } from "../core/index.ts";
import { plotFormat, renderPlot } from "../plot/index.ts";
import { fail, interruptibly, saySaved } from "./benchmark.ts";
import { listOf, wholeNumber } from "./flags.ts";

const MAX_CLIENTS = 256;

const HELP = `
Starts a server of its own unless --url names one. Flags behind "--" are passed on to it; its cache is off unless
they or LMCACHE_* variables say otherwise. Servers named by --peer are measured in turns with it, and the table has the
ratio of each figure to theirs. Exits with 1 when an answer is shorter than asked for, or a prompt was
cached: then the figures are none.

Examples:
  warmkv bench throughput
  warmkv bench throughput --model model.gguf --clients 1,4,16 --threads 4
  warmkv bench throughput --model model.gguf --peer http://127.0.0.1:8081/v1 --json result.json
  warmkv bench throughput --url http://127.0.0.1:8000/v1 --peer http://127.0.0.1:8081/v1
  warmkv bench throughput -- --kv-cache-dtype q8_0`;

interface ThroughputFlags {
  readonly model?: string;
  readonly clients: readonly number[];
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly prefillTokens: number;
  readonly repeat: number;
  readonly threads: number;
  readonly url?: string;
  readonly peer: readonly string[];
  readonly apiKey?: string;
  readonly json?: string;
  readonly plot?: string;
}

/** `warmkv bench throughput` */
export function throughputCommand(): Command {
  const withCount = (name: string, text: string, min: number, max: number, value: number): Option =>
    new Option(`${name} <n>`, text).argParser(wholeNumber(name, min, max)).default(value);
  return new Command("throughput")
    .description("measure tokens per second, alone or beside other servers")
    .argument("[serve flags...]", 'behind "--": more flags for the server that is started')
    .option("--model <model>", "what to serve, as for `warmkv serve` (default: synth:25m)")
    .addOption(
      new Option("--clients <numbers>", "clients at a time, one after the other")
        .argParser(listOf(wholeNumber("--clients", 1, MAX_CLIENTS)))
        .default([1, 8], "1,8"),
    )
    .addOption(withCount("--prompt-tokens", "length of each client's prompt", 32, 100_000, 200))
    .addOption(withCount("--max-tokens", "length of each answer", 2, 100_000, 200))
    .addOption(
      withCount("--prefill-tokens", "length of the prompt that is timed alone", 32, 1_000_000, 900),
    )
    .addOption(withCount("--repeat", "rounds; one more before them is not counted", 1, 1000, 3))
    .addOption(withCount("--threads", "threads of the server that is started", 1, 1024, 1))
    .option("--url <url>", "measure this OpenAI-compatible server instead of starting one")
    .addOption(
      new Option("--peer <url>", "an OpenAI-compatible server to compare with; may be repeated")
        .argParser((url: string, urls: readonly string[]) => [...urls, url])
        .default([], "none"),
    )
    .option("--api-key <key>", "for --url and --peer (default: OPENAI_API_KEY)")
    .option("--json <file>", "write the report as JSON")
    .option("--plot <file>", "draw the rates (.svg or .png)")
    .addHelpText("after", HELP)
    .action(runThroughput);
}

async function runThroughput(serveArgs: string[], flags: ThroughputFlags): Promise<void> {
  if (flags.url !== undefined && serveArgs.length > 0) {
    throw new UsageError(
      `Cannot pass "${serveArgs.join(" ")}" on: with --url no server is started`,
    );
  }
  if (flags.plot !== undefined) plotFormat(flags.plot);
  await interruptibly(async (progress, signal) => {
    const report = await bench.runThroughput({
      url: flags.url,
      peerUrls: flags.peer,
      apiKey: flags.apiKey ?? process.env["OPENAI_API_KEY"] ?? "none",
      model: flags.model,
      numClients: flags.clients,
      numPromptTokens: flags.promptTokens,
      maxTokens: flags.maxTokens,
      numPrefillTokens: flags.prefillTokens,
      numRounds: flags.repeat,
      numThreads: flags.threads,
      serveArgs,
      env: process.env,
      progress,
      signal,
    });
    console.log(bench.throughputTable(report));
    bench.throughputFailures(report).forEach(fail);
    if (flags.plot !== undefined) await renderPlot(bench.throughputPlot(report), flags.plot);
    if (flags.json !== undefined) await bench.writeReport(report, flags.json);
    saySaved(flags.plot, flags.json);
  });
}
