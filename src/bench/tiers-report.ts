import { formatBytes, tableLines } from "../core/index.ts";
import type { ContestResult } from "./contest.ts";
import { formatMs } from "./format.ts";
import type { Machine } from "./machine.ts";
import type { Summary } from "./statistics.ts";

/** What `warmkv bench tiers --json` writes. */
export interface TiersReport {
  readonly benchmark: "tiers";
  readonly version: 1;
  readonly startedAt: string;
  readonly machine: Machine;
  readonly directory: string;
  readonly chunkBytes: number;
  readonly numChunks: number;
  /** Files read or written at a time, by the tier and by the plain loop. */
  readonly concurrency: number;
  readonly contests: readonly TierContestResult[];
  readonly lookups: readonly TierLookup[];
}

export interface TierContestResult extends ContestResult {
  /** "CPU RAM", "disk", "disk O_DIRECT" */
  readonly tier: string;
  readonly operation: "put" | "get";
  /** What it ran against: "memcpy", "plain files". */
  readonly against: string;
}

/** Hashing a prompt of that many chunks and asking the tier how many of them it has. */
export interface TierLookup {
  readonly tier: string;
  readonly numChunks: number;
  readonly numTokens: number;
  readonly lookupMs: Summary;
}

/** The report as people read it in a terminal. */
export function tiersTable(report: TiersReport): string {
  const totalBytes = report.chunkBytes * report.numChunks;
  const rows = report.contests.map((contest) => [
    contest.tier,
    contest.operation,
    speed(totalBytes, contest.oursMs),
    speed(totalBytes, contest.plainMs),
    contest.against,
    contest.shareOfPlain.toFixed(2),
  ]);
  const header = ["tier", "", "speed", "plain", "", "share"];
  const lookups = report.lookups.map(
    ({ tier, numTokens, lookupMs }) =>
      `  lookup of ${numTokens} tokens in ${tier}, hashing included: ${formatMs(lookupMs.median)} (${formatMs(lookupMs.min)} to ${formatMs(lookupMs.max)})`,
  );
  return [
    `  ${report.numChunks} chunks of ${formatBytes(report.chunkBytes)}, ${report.concurrency} files at a time in ${report.directory}`,
    "",
    ...tableLines([header, ...rows], { others: "left" }).map((line) => `  ${line}`),
    "",
    ...lookups,
  ].join("\n");
}

/** GiB per second, median. */
export function gibPerSecond(numBytes: number, { median }: Summary): number {
  return numBytes / 2 ** 30 / (median / 1000);
}

function speed(numBytes: number, summary: Summary): string {
  return `${gibPerSecond(numBytes, summary).toFixed(2)} GiB/s`;
}
