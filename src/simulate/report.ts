import { formatBytes } from "../core/index.ts";
import type { TierCounts } from "./simulated-tier.ts";

/** What one policy at one size of the cache did with the trace. */
export interface SimulationRow {
  /** A policy, or "BELADY" or "INFINITE" for the bounds. */
  readonly policy: string;
  /** Of each tier, in chunks. */
  readonly capacities: readonly number[];
  readonly numHitChunks: number;
  readonly numHitTokens: number;
  /** Empty for the bounds. */
  readonly tiers: readonly (TierCounts & { readonly name: string; readonly capacity: number })[];
}

export interface SimulationReport {
  readonly trace: {
    readonly name: string;
    readonly numRequests: number;
    readonly numChunks: number;
    readonly numTokens: number;
    readonly durationMs: number;
  };
  readonly blockTokens: number;
  readonly bytesPerToken: number;
  readonly savesUnfullChunk: boolean;
  readonly results: readonly SimulationRow[];
}

/**
 * The report as lines of a table; the first is the head. Sizes in chunks and bytes, rates in
 * percent.
 */
export function reportTable(report: SimulationReport): string[][] {
  const hasDisk = report.results.some((row) => row.capacities.length > 1);
  const tierNames = hasDisk ? ["cpu", "disk"] : ["cpu"];
  const head = [
    "policy",
    ...tierNames.map((name) => `${name} chunks`),
    "hit %",
    "token hit %",
    ...tierNames.flatMap((name) => [`${name} read`, `${name} written`]),
  ];
  const bytes = (numTokens: number): string => formatBytes(numTokens * report.bytesPerToken);
  const rows = report.results.map((row) => [
    row.policy,
    ...row.capacities.map(String),
    percent(row.numHitChunks, report.trace.numChunks),
    percent(row.numHitTokens, report.trace.numTokens),
    ...tierNames.flatMap((_, index) => {
      const tier = row.tiers[index];
      return tier ? [bytes(tier.numReadTokens), bytes(tier.numWrittenTokens)] : ["-", "-"];
    }),
  ]);
  return [head, ...rows];
}

/** The report for programs: counts, and the rates and bytes that follow from them. */
export function reportJson(report: SimulationReport): object {
  const { trace, bytesPerToken } = report;
  return {
    ...report,
    results: report.results.map((row) => ({
      ...row,
      hitRate: ratio(row.numHitChunks, trace.numChunks),
      tokenHitRate: ratio(row.numHitTokens, trace.numTokens),
      tiers: row.tiers.map((tier) => ({
        ...tier,
        readBytes: tier.numReadTokens * bytesPerToken,
        writtenBytes: tier.numWrittenTokens * bytesPerToken,
      })),
    })),
  };
}

function percent(part: number, whole: number): string {
  return (100 * ratio(part, whole)).toFixed(2);
}

function ratio(part: number, whole: number): number {
  return whole === 0 ? 0 : part / whole;
}
