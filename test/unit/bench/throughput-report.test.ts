import { expect, test } from "vitest";
import { throughputPlot } from "../../../src/bench/throughput-plot.ts";
import {
  makeThroughputReport,
  type ServerSamples,
  throughputFailures,
  type ThroughputReport,
} from "../../../src/bench/throughput-report.ts";
import { throughputTable } from "../../../src/bench/throughput-table.ts";
import type { DecodeSample, PrefillSample } from "../../../src/bench/throughput-target.ts";
import { plotSvg } from "../../../src/plot/index.ts";
import { MACHINE } from "./bench-fixtures.ts";

function decode(rate: number | undefined, more: Partial<DecodeSample> = {}): DecodeSample {
  return {
    decodeTokensPerSecond: rate,
    wholeTokensPerSecond: (rate ?? 100) / 2,
    waitsMs: rate === undefined ? [] : [1000 / rate, 2000 / rate, 1000 / rate],
    numTokens: 200,
    ...more,
  };
}

function prefill(tokensPerSecond: number, numCachedTokens: number | undefined = 0): PrefillSample {
  return {
    ttftMs: 900_000 / tokensPerSecond,
    numPromptTokens: 900,
    numCachedTokens,
    tokensPerSecond,
  };
}

/** Three rounds with one client and with eight. */
function server(name: string, factor: number, more: Partial<ServerSamples> = {}): ServerSamples {
  const rates = (...values: number[]): DecodeSample[] => values.map((v) => decode(v * factor));
  return {
    name,
    url: `http://${name}/v1`,
    model: "m",
    args: undefined,
    decodes: [
      { numClients: 1, samples: rates(500, 400, 480) },
      { numClients: 8, samples: rates(1000, 1100, 900) },
    ],
    prefills: [prefill(1800 * factor), prefill(2000 * factor), prefill(100 * factor)],
    ...more,
  };
}

function report(...samples: ServerSamples[]): ThroughputReport {
  return makeThroughputReport({
    startedAt: "2026-01-01T00:00:00.000Z",
    machine: MACHINE,
    numPromptTokens: 200,
    maxTokens: 200,
    numPrefillTokens: 900,
    numRounds: 3,
    samples,
  });
}

const OURS = server("warmkv", 0.9);
const PEER = server("127.0.0.1:8081", 1);

test("figures are medians of the rounds, ratios those of the medians", () => {
  const { servers, ratios } = report(OURS, PEER, server("host:8000", 0.5));
  expect(servers[1]!.decodes[0]).toEqual({
    numClients: 1,
    decodeTokensPerSecond: { median: 480, min: 400, max: 500, count: 3 },
    wholeTokensPerSecond: { median: 240, min: 200, max: 250, count: 3 },
    interTokenMs: { median: 2.5, p99: 5 },
    numTokens: 200,
    numSteadyRounds: 3,
  });
  expect(servers[1]!.prefill).toEqual({
    tokensPerSecond: { median: 1800, min: 100, max: 2000, count: 3 },
    ttftMs: { median: 500, min: 450, max: 9000, count: 3 },
    numPromptTokens: 900,
    numCachedTokens: 0,
  });
  const close = (value: number): number => expect.closeTo(value) as number;
  expect(ratios).toEqual(
    [
      { peer: "127.0.0.1:8081", value: 0.9 },
      { peer: "host:8000", value: 1.8 },
    ].map(({ peer, value }) => ({
      peer,
      decodes: [1, 8].map((numClients) => ({
        numClients,
        decode: close(value),
        whole: close(value),
      })),
      prefill: close(value),
    })),
  );
});

test("the table has a column for each server and the ratio to each peer", () => {
  expect(throughputTable(report(OURS, PEER))).toBe(
    [
      "  prompts of 200 tokens, answers of 200, median of 3 rounds in turns",
      "",
      "                                  warmkv      127.0.0.1:8081  ratio",
      "  1 client, decode          432 tokens/s        480 tokens/s  0.900",
      "    with the prompts        216 tokens/s        240 tokens/s  0.900",
      "    between tokens    2.8 ms, p99 5.6 ms  2.5 ms, p99 5.0 ms",
      "  8 clients, decode         900 tokens/s      1,000 tokens/s  0.900",
      "    with the prompts        450 tokens/s        500 tokens/s  0.900",
      "    between tokens    1.2 ms, p99 2.5 ms  1.1 ms, p99 2.2 ms",
      "  prefill of 900          1,620 tokens/s      1,800 tokens/s  0.900",
      "    first token                   556 ms              500 ms",
    ].join("\n"),
  );
});

test("the table of one server has no ratio", () => {
  const table = throughputTable(report(OURS));
  expect(table).not.toMatch(/ratio|in turns/);
  expect(table).toContain("432 tokens/s");
});

test("no failure when every answer was whole and nothing was cached", () => {
  expect(throughputFailures(report(OURS, PEER))).toEqual([]);
  // What every prompt begins with.
  const bos = server("host", 1, { prefills: [prefill(1000, 2), prefill(1000, undefined)] });
  expect(throughputFailures(report(bos))).toEqual([]);
});

test("a short answer, a window that never was and a cached prompt are failures", () => {
  const broken = server("host", 1, {
    decodes: [
      { numClients: 1, samples: [decode(500, { numTokens: 12 }), decode(500), decode(500)] },
      { numClients: 8, samples: [decode(undefined), decode(900), decode(900)] },
    ],
    prefills: [prefill(1000, 896), prefill(1000)],
  });
  expect(throughputFailures(report(OURS, broken))).toEqual([
    "host answered only 12 of 200 tokens with 1 client.",
    "host never decoded for 8 clients at the same time in 1 of 3 rounds: it needs more --max-tokens, or room for 8 clients.",
    "host took 896 of 900 tokens of a new prompt from a cache.",
  ]);
});

test("what was never measured is a dash and has no ratio", () => {
  const never = server("host", 1, {
    decodes: [
      { numClients: 1, samples: [decode(500)] },
      { numClients: 8, samples: [decode(undefined)] },
    ],
  });
  const measured = report(OURS, never);
  expect(measured.ratios[0]!.decodes[1]).toEqual({
    numClients: 8,
    decode: undefined,
    whole: expect.closeTo(9) as number,
  });
  expect(throughputTable(measured)).toMatch(/8 clients, decode +900 tokens\/s +-\n/);
  expect(plotSvg(throughputPlot(measured))).toContain("not measured");
});

test("the plot names servers, rates and the lowest ratio", () => {
  const svg = plotSvg(throughputPlot(report(OURS, PEER)));
  for (const text of [
    "warmkv gives at least 90 % of its peer's tokens per second",
    "127.0.0.1:8081",
    "decode, 8 clients",
    "1,620 tokens/s",
  ]) {
    expect(svg).toContain(text);
  }
  expect(plotSvg(throughputPlot(report(OURS)))).toContain("Tokens per second of warmkv");
});
