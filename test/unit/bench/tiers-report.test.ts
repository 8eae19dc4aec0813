import { expect, test } from "vitest";
import { tiersPlot } from "../../../src/bench/tiers-plot.ts";
import { type TiersReport, tiersTable } from "../../../src/bench/tiers-report.ts";
import { plotSvg } from "../../../src/plot/index.ts";
import { MACHINE, summary } from "./bench-fixtures.ts";

const REPORT: TiersReport = {
  benchmark: "tiers",
  version: 1,
  startedAt: "2026-01-01T00:00:00.000Z",
  machine: MACHINE,
  directory: "/data",
  chunkBytes: 2 ** 20,
  numChunks: 1024,
  concurrency: 4,
  contests: [
    {
      tier: "CPU RAM",
      operation: "put",
      against: "memcpy",
      oursMs: summary(100),
      plainMs: summary(95),
      shareOfPlain: 0.95,
    },
    {
      tier: "disk",
      operation: "get",
      against: "plain files",
      oursMs: summary(500),
      plainMs: summary(400),
      shareOfPlain: 0.8,
    },
  ],
  lookups: [{ tier: "disk", numChunks: 60, numTokens: 15_360, lookupMs: summary(0.4) }],
};

test("the table gives the speeds of tier and plain way and the share", () => {
  expect(tiersTable(REPORT)).toBe(
    [
      "  1024 chunks of 1.00 MiB, 4 files at a time in /data",
      "",
      "  tier          speed        plain                     share",
      "  CPU RAM  put  10.00 GiB/s  10.53 GiB/s  memcpy       0.95",
      "  disk     get  2.00 GiB/s   2.50 GiB/s   plain files  0.80",
      "",
      "  lookup of 15360 tokens in disk, hashing included: 0.4 ms (0.2 ms to 0.8 ms)",
    ].join("\n"),
  );
});

test("the plot names the lowest share and has a row for each contest", () => {
  const svg = plotSvg(tiersPlot(REPORT));
  for (const text of ["80 %", ">CPU RAM put<", ">disk get<", ">10.00 GiB/s, 95 %<"]) {
    expect(svg).toContain(text);
  }
});
