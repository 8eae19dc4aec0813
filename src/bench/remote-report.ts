import { formatBytes, tableLines } from "../core/index.ts";
import { formatMs } from "./format.ts";
import type { Machine } from "./machine.ts";
import type { RedisBenchmarkResult } from "./redis-benchmark.ts";
import type { Summary } from "./statistics.ts";

/** What `warmkv bench remote --json` writes. */
export interface RemoteReport {
  readonly benchmark: "remote";
  readonly version: 1;
  readonly startedAt: string;
  readonly machine: Machine;
  /** Without user, password, token. */
  readonly address: string;
  readonly numRounds: number;
  readonly transfers: readonly RemoteTransfer[];
  readonly lookups: readonly RemoteLookup[];
  /** Empty for other stores than Redis, and where the program is not there. */
  readonly redisBenchmark: readonly RedisBenchmarkResult[];
}

/** Values of one size put or got, so many at a time. */
export interface RemoteTransfer {
  readonly operation: "put" | "get";
  readonly valueBytes: number;
  readonly concurrency: number;
  readonly remote: TransferSpeed;
  /** The same bytes over plain TCP of the loopback to another process, in the same rounds. */
  readonly floor: TransferSpeed;
  /** Median speed over the floor's. */
  readonly shareOfFloor: number;
}

export interface TransferSpeed {
  /** One of each round. */
  readonly gibPerSecond: Summary;
  /** Of single values. */
  readonly latencyMs: Summary;
  /** Of this process: what it costs the engine. */
  readonly cpuSecondsPerGib: number;
  /** Of this process, the highest seen. */
  readonly rssBytes: number;
}

/** Asking how many leading names are stored. */
export interface RemoteLookup {
  readonly numNames: number;
  readonly concurrency: number;
  readonly lookupsPerSecond: Summary;
  readonly latencyMs: Summary;
}

/** The report as people read it in a terminal. */
export function remoteTable(report: RemoteReport): string {
  const header = ["", "value", "at once", "speed", "TCP", "share", "latency", "CPU s/GiB", "RSS"];
  const rows = report.transfers.map((transfer) => [
    transfer.operation,
    formatBytes(transfer.valueBytes),
    String(transfer.concurrency),
    speed(transfer.remote.gibPerSecond),
    speed(transfer.floor.gibPerSecond),
    transfer.shareOfFloor.toFixed(2),
    formatMs(transfer.remote.latencyMs.median),
    transfer.remote.cpuSecondsPerGib.toFixed(2),
    formatBytes(transfer.remote.rssBytes),
  ]);
  const lookups = report.lookups.map(
    ({ numNames, concurrency, lookupsPerSecond, latencyMs }) =>
      `  lookup of ${numNames} ${numNames === 1 ? "name" : "names"}, ${concurrency} at once: ` +
      `${Math.round(lookupsPerSecond.median)} a second, ${formatMs(latencyMs.median)} each`,
  );
  const rivals = report.redisBenchmark.map(
    ({ operation, valueBytes, concurrency, gibPerSecond }) =>
      `  redis-benchmark ${operation} of ${formatBytes(valueBytes)}, ${concurrency} at once: ${gibPerSecond.toFixed(2)} GiB/s`,
  );
  return [
    `  ${report.address}, median of ${report.numRounds} rounds in turns with plain TCP`,
    "",
    ...tableLines([header, ...rows], { others: "left" }).map((line) => `  ${line}`),
    "",
    ...lookups,
    ...rivals,
  ].join("\n");
}

function speed({ median }: Summary): string {
  return `${median.toFixed(2)} GiB/s`;
}
