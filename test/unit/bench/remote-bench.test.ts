import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { Progress } from "../../../src/bench/progress.ts";
import { readRedisBenchmark } from "../../../src/bench/redis-benchmark.ts";
import { remotePlot } from "../../../src/bench/remote-plot.ts";
import { type RemoteReport, remoteTable } from "../../../src/bench/remote-report.ts";
import { runRemote } from "../../../src/bench/run-remote.ts";
import { listenTcpFloor } from "../../../src/bench/tcp-floor-peer.ts";
import { TcpFloor } from "../../../src/bench/tcp-floor.ts";
import { systemClock } from "../../../src/core/index.ts";
import { plotSvg } from "../../../src/plot/index.ts";
import { MACHINE, summary } from "./bench-fixtures.ts";

const transferSpeed = (gibPerSecond: number) => ({
  gibPerSecond: summary(gibPerSecond),
  latencyMs: summary(4.2),
  cpuSecondsPerGib: 0.213,
  rssBytes: 100 * 2 ** 20,
});

const REPORT: RemoteReport = {
  benchmark: "remote",
  version: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  machine: MACHINE,
  address: "lm://127.0.0.1:65432",
  numRounds: 3,
  transfers: [
    {
      operation: "put",
      valueBytes: 2 ** 23,
      concurrency: 1,
      remote: transferSpeed(1.9),
      floor: transferSpeed(2.5),
      shareOfFloor: 0.76,
    },
  ],
  lookups: [
    { numNames: 1, concurrency: 1, lookupsPerSecond: summary(9000.4), latencyMs: summary(0.1) },
    { numNames: 256, concurrency: 4, lookupsPerSecond: summary(800), latencyMs: summary(4) },
  ],
  redisBenchmark: [{ operation: "get", valueBytes: 2 ** 23, concurrency: 1, gibPerSecond: 0.5 }],
};

test("the table gives the speeds of remote and TCP, the share, and what redis-benchmark says", () => {
  expect(remoteTable(REPORT)).toBe(
    [
      "  lm://127.0.0.1:65432, median of 3 rounds in turns with plain TCP",
      "",
      "       value     at once  speed       TCP         share  latency  CPU s/GiB  RSS",
      "  put  8.00 MiB  1        1.90 GiB/s  2.50 GiB/s  0.76   4.2 ms   0.21       100.00 MiB",
      "",
      "  lookup of 1 name, 1 at once: 9000 a second, 0.1 ms each",
      "  lookup of 256 names, 4 at once: 800 a second, 4.0 ms each",
      "  redis-benchmark get of 8.00 MiB, 1 at once: 0.50 GiB/s",
    ].join("\n"),
  );
});

test("the plot has a row for each transfer and says the lowest share", () => {
  const svg = plotSvg(remotePlot(REPORT));
  expect(svg).toContain("put 8.00 MiB, 1 at once");
  expect(svg).toContain("at 76 % of plain TCP");
});

test("redis-benchmark's own figures are read", () => {
  const csv = '"test","rps","avg_latency_ms"\n"SET","105.26","9.1"\n"GET","98.04","9.8"\n';
  expect(readRedisBenchmark(csv)).toEqual([
    { operation: "put", perSecond: 105.26 },
    { operation: "get", perSecond: 98.04 },
  ]);
});

async function run(url: string): Promise<RemoteReport> {
  const peer = await listenTcpFloor();
  using progress = new Progress({ write() {} }, systemClock);
  const signal = new AbortController().signal;
  try {
    return await runRemote({
      url,
      token: undefined,
      valueSizesBytes: [10_000, 100_000],
      concurrencies: [1, 3],
      roundBytes: 400_000,
      numRounds: 2,
      progress,
      signal,
      startFloor: (numLanes) =>
        TcpFloor.connect((peer.address() as AddressInfo).port, numLanes, signal, async () => {}),
    });
  } finally {
    await new Promise((resolve) => peer.close(resolve));
  }
}

test("runRemote() measures every size at every concurrency, both ways, and lookups", async () => {
  const { transfers, lookups } = await run("mock://1");
  expect(
    transfers.map(({ operation, valueBytes, concurrency }) => [operation, valueBytes, concurrency]),
  ).toEqual(
    [10_000, 100_000].flatMap((valueBytes) =>
      [1, 3].flatMap((concurrency) => [
        ["put", valueBytes, concurrency],
        ["get", valueBytes, concurrency],
      ]),
    ),
  );
  for (const { remote, floor, shareOfFloor } of transfers) {
    expect(remote.gibPerSecond.count).toBe(2);
    expect(floor.latencyMs.median).toBeGreaterThan(0);
    expect(shareOfFloor).toBeCloseTo(remote.gibPerSecond.median / floor.gibPerSecond.median);
  }
  expect(lookups.map(({ numNames }) => numNames)).toEqual([1, 1, 256, 256]);
});

test("runRemote() says so when the store does not hold what was put", async () => {
  await expect(run("mock://0.0001")).rejects.toThrow(/does not hold what was put: wanted room/);
});
