import type { CacheOverheadReport } from "./cache-overhead.ts";
import { formatCount, formatMs } from "./format.ts";
import type { Summary } from "./statistics.ts";

/** The report as people read it in a terminal. */
export function cacheOverheadTable(report: CacheOverheadReport): string {
  const { cacheOnTtftMs, cacheOffTtftMs, overheadPercent, pairedOverheadPercent } = report;
  return [
    `  prompt    ${formatCount(report.numPromptTokens)} tokens, cold, ${report.rounds.length} rounds each`,
    `  cache on  ${ttft(cacheOnTtftMs)}`,
    `  cache off ${ttft(cacheOffTtftMs)}`,
    `  overhead  ${percent(overheadPercent)} between the medians, ${percent(pairedOverheadPercent)} in the median round`,
  ].join("\n");
}

function ttft({ median, min, max }: Summary): string {
  return `${formatMs(median)} to the first token (${formatMs(min)} to ${formatMs(max)})`;
}

function percent(value: number): string {
  return `${value > 0 ? "+" : ""}${value.toFixed(1)} %`;
}
