import { expect, test } from "vitest";
import { cacheOverheadTable } from "../../../src/bench/cache-overhead-table.ts";
import { makeCacheOverheadReport } from "../../../src/bench/cache-overhead.ts";
import { MACHINE } from "./bench-fixtures.ts";

const REPORT = makeCacheOverheadReport({
  startedAt: "2026-01-01T00:00:00.000Z",
  machine: MACHINE,
  model: "synth:25m",
  numPromptTokens: 8000,
  // The machine slows down, and both with it.
  rounds: [
    { cacheOnMs: 10_200, cacheOffMs: 10_000 },
    { cacheOnMs: 12_120, cacheOffMs: 12_000 },
    { cacheOnMs: 20_200, cacheOffMs: 20_000 },
  ],
});

test("the overhead is that between the medians, and that of the median round", () => {
  expect(REPORT.overheadPercent).toBeCloseTo(1);
  expect(REPORT.pairedOverheadPercent).toBeCloseTo(1);
  expect(REPORT.cacheOnTtftMs).toEqual({ median: 12_120, min: 10_200, max: 20_200, count: 3 });
});

test("the table gives both sides with their extremes", () => {
  expect(cacheOverheadTable(REPORT)).toBe(
    [
      "  prompt    8,000 tokens, cold, 3 rounds each",
      "  cache on  12.1 s to the first token (10.2 s to 20.2 s)",
      "  cache off 12.0 s to the first token (10.0 s to 20.0 s)",
      "  overhead  +1.0 % between the medians, +1.0 % in the median round",
    ].join("\n"),
  );
});
