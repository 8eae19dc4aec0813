import { tableLines } from "../core/index.ts";
import { formatCount, formatMs } from "./format.ts";
import type { Summary } from "./statistics.ts";
import {
  clientsOf,
  type ServerThroughput,
  type ThroughputRatio,
  type ThroughputReport,
} from "./throughput-report.ts";

const NOTHING = "-";

/** One line of the table: what it says of a server, and what of its ratio to a peer. */
interface Measure {
  readonly name: string;
  of(server: ServerThroughput): string;
  ratio?(ratio: ThroughputRatio): number | undefined;
}

/** The report as people read it in a terminal. */
export function throughputTable(report: ThroughputReport): string {
  const { servers, ratios, numRounds, numPromptTokens, maxTokens } = report;
  const [ours, ...peers] = servers;
  const rounds = numRounds === 1 ? "one round" : `median of ${numRounds} rounds`;
  const turns = peers.length === 0 ? "" : " in turns";
  const header = ["", ours!.name, ...peers.flatMap(({ name }) => [name, "ratio"])];
  const rows = measures(report).map((measure) => [
    measure.name,
    measure.of(ours!),
    ...peers.flatMap((peer, index) => [
      measure.of(peer),
      measure.ratio?.(ratios[index]!)?.toFixed(3) ?? "",
    ]),
  ]);
  return [
    `  prompts of ${formatCount(numPromptTokens)} tokens, answers of ${formatCount(maxTokens)}, ${rounds}${turns}`,
    "",
    ...tableLines([header, ...rows]).map((line) => `  ${line}`),
  ].join("\n");
}

function measures({ servers, numPrefillTokens }: ThroughputReport): Measure[] {
  const decodes = servers[0]!.decodes.flatMap(({ numClients }, index): Measure[] => [
    {
      name: `${clientsOf(numClients)}, decode`,
      of: ({ decodes }) => tokensPerSecond(decodes[index]!.decodeTokensPerSecond),
      ratio: ({ decodes }) => decodes[index]!.decode,
    },
    {
      name: "  with the prompts",
      of: ({ decodes }) => tokensPerSecond(decodes[index]!.wholeTokensPerSecond),
      ratio: ({ decodes }) => decodes[index]!.whole,
    },
    { name: "  between tokens", of: ({ decodes }) => waits(decodes[index]!.interTokenMs) },
  ]);
  return [
    ...decodes,
    {
      name: `prefill of ${formatCount(numPrefillTokens)}`,
      of: ({ prefill }) => tokensPerSecond(prefill.tokensPerSecond),
      ratio: ({ prefill }) => prefill,
    },
    { name: "  first token", of: ({ prefill }) => formatMs(prefill.ttftMs.median) },
  ];
}

function tokensPerSecond(summary: Summary | undefined): string {
  return summary === undefined ? NOTHING : `${formatRate(summary.median)} tokens/s`;
}

/** 4.21 -> "4.2", 512.3 -> "512", 1234 -> "1,234". */
export function formatRate(rate: number): string {
  return rate < 100 ? rate.toFixed(1) : formatCount(Math.round(rate));
}

function waits(interTokenMs: ServerThroughput["decodes"][number]["interTokenMs"]): string {
  if (interTokenMs === undefined) return NOTHING;
  return `${formatMs(interTokenMs.median)}, p99 ${formatMs(interTokenMs.p99)}`;
}
