import { basename } from "node:path";
import { Command } from "commander";
import { TerminalLine, systemClock, tableLines, UsageError } from "../core/index.ts";
import { wholeNumber } from "./flags.ts";

const MAX_CAPACITY = 100_000_000;
const MAX_REQUESTS = 100_000_000;
const DEFAULT_CAPACITIES = [1000, 5000, 20_000];
const DEFAULT_REQUESTS = 20_000;
/** Llama 3.1 8B at f16. */
const DEFAULT_BYTES_PER_TOKEN = 131_072;
const PROGRESS_EVERY_MS = 200;

const EXAMPLES = `
Examples:
  warmkv simulate --trace conversation_trace.jsonl
  warmkv simulate --trace synthetic --requests 100000 --policy lru,adaptive --capacity 2000,10000
  warmkv simulate --trace t.jsonl --policy adaptive --capacity 2000 --disk-capacity 20000,100000
  warmkv simulate --trace t.jsonl --json report.json --plot hit-rate.png

A trace has one JSON object a line, as Mooncake publishes them: timestamp (ms), input_length,
output_length, hash_ids (one number for each block of the prompt). One block is one chunk. A prompt
hits as many leading chunks as are cached; then all its chunks are stored. BELADY and INFINITE are
what no policy can exceed; they take memory for the whole trace, --no-bounds leaves them out.`;

interface SimulateFlags {
  readonly trace: string;
  readonly policy?: string[];
  readonly capacity?: number[];
  readonly diskCapacity?: number[];
  readonly blockTokens: number;
  readonly bytesPerToken: number;
  readonly requests: number;
  readonly seed: number;
  readonly saveUnfullChunk: boolean;
  readonly bounds: boolean;
  readonly json?: string;
  readonly plot?: string;
}

/** `warmkv simulate ...` */
export function simulateCommand(): Command {
  const tokens = wholeNumber("--block-tokens", 1, 1_000_000);
  const bytes = wholeNumber("--bytes-per-token", 1, 1_000_000_000);
  const requests = wholeNumber("--requests", 1, MAX_REQUESTS);
  return new Command("simulate")
    .description("replay a trace of prompts: hit rate and bytes by eviction policy and cache size")
    .requiredOption("--trace <file>", 'a trace file, or "synthetic" to make one up')
    .option("--policy <names>", "policies to compare, with commas between (default: all)", list)
    .option(
      "--capacity <chunks>",
      `sizes of the cache (default: ${DEFAULT_CAPACITIES.join(",")})`,
      wholeNumbers("--capacity"),
    )
    .option(
      "--disk-capacity <chunks>",
      "sizes of a second tier behind it",
      wholeNumbers("--disk-capacity"),
    )
    .option("--block-tokens <n>", "tokens of a block of the trace", tokens, 512)
    .option("--bytes-per-token <n>", "bytes of KV a token", bytes, DEFAULT_BYTES_PER_TOKEN)
    .option("--requests <n>", "length of a synthetic trace", requests, DEFAULT_REQUESTS)
    .option("--seed <n>", "of a synthetic trace", wholeNumber("--seed", 0, 2 ** 32 - 1), 1)
    .option("--no-save-unfull-chunk", "do not store a last chunk that is not full")
    .option("--no-bounds", "do not compute what no policy can exceed")
    .option("--json <file>", "write the report as JSON")
    .option("--plot <file>", "draw the hit rates (.svg or .png)")
    .addHelpText("after", EXAMPLES)
    .action(simulate);
}

async function simulate(flags: SimulateFlags): Promise<void> {
  const [simulation, plot, bench] = await Promise.all([
    import("../simulate/index.ts"),
    import("../plot/index.ts"),
    import("../bench/index.ts"),
  ]);
  if (flags.plot !== undefined) plot.plotFormat(flags.plot);
  const names = flags.policy ?? simulation.simulationPolicyNames;
  const isSynthetic = flags.trace === "synthetic";
  const { blockTokens } = flags;
  const trace = isSynthetic
    ? simulation.generateTrace({ numRequests: flags.requests, blockTokens, seed: flags.seed })
    : simulation.readTrace(flags.trace, blockTokens);
  const progress = new RequestProgress();
  const report = await simulation
    .runSimulation(trace, {
      traceName: isSynthetic ? `synthetic, seed ${flags.seed}` : basename(flags.trace),
      policies: [...new Set(names.map(simulation.simulationPolicyName))],
      capacities: flags.capacity ?? DEFAULT_CAPACITIES,
      diskCapacities: flags.diskCapacity ?? [],
      blockTokens,
      bytesPerToken: flags.bytesPerToken,
      savesUnfullChunk: flags.saveUnfullChunk,
      hasBounds: flags.bounds,
      onProgress: (numRequests) => progress.show(numRequests),
    })
    .finally(() => progress.hide());
  console.log(tableLines(simulation.reportTable(report)).join("\n"));
  if (flags.json !== undefined) await bench.writeReport(simulation.reportJson(report), flags.json);
  if (flags.plot !== undefined) {
    await plot.renderPlot(simulation.hitRatePlot(report), flags.plot);
  }
}

/** A line on stderr that counts requests; none without a terminal. */
class RequestProgress {
  readonly #line = new TerminalLine(process.stderr);
  #shownMs = systemClock.nowMs();

  show(numRequests: number): void {
    const nowMs = systemClock.nowMs();
    if (nowMs - this.#shownMs < PROGRESS_EVERY_MS) return;
    this.#shownMs = nowMs;
    this.#line.show(`${numRequests.toLocaleString("en-US")} requests`);
  }

  hide(): void {
    this.#line.clear();
  }
}

function list(text: string): string[] {
  return text.split(",");
}

function wholeNumbers(flag: string): (text: string) => number[] {
  const parse = wholeNumber(flag, 1, MAX_CAPACITY);
  return (text) => {
    const numbers = list(text).map((part) => parse(part.trim()));
    if (new Set(numbers).size === numbers.length) return numbers;
    throw new UsageError(`Cannot use ${flag} "${text}": wanted each number once`, { param: flag });
  };
}
