import { expect, test } from "vitest";
import type { Floor } from "../../../src/bench/floor.ts";
import type { CompletionTiming } from "../../../src/bench/openai-timing.ts";
import { queryTwicePlot } from "../../../src/bench/query-twice-plot.ts";
import { makeQueryTwiceReport, queryTwiceFailures } from "../../../src/bench/query-twice-report.ts";
import { queryTwiceTable } from "../../../src/bench/query-twice-table.ts";
import { plotSvg } from "../../../src/plot/index.ts";
import { MACHINE } from "./bench-fixtures.ts";

const FLOOR: Floor = {
  numTokens: 8000,
  kvBytes: 32 * 2 ** 20,
  memcpyMs: 8,
  readMs: undefined,
  transferMs: undefined,
  decodeMs: 32,
  totalMs: 40,
  prefillMs: 19_000,
  libraryMs: 48,
};

function timing(
  ttftMs: number,
  numCachedTokens: number | undefined,
  text = "abc",
): CompletionTiming {
  return {
    ttftMs,
    wireTtftMs: ttftMs - 4,
    totalMs: ttftMs + 100,
    // Some tokens came at once.
    interTokenMs: [0, 0, 96],
    text,
    tokenTexts: Array.from(text),
    finishReason: "length",
    numPromptTokens: 8000,
    numCachedTokens,
    numCompletionTokens: text.length,
  };
}

function report(
  rounds: [CompletionTiming, ...CompletionTiming[]][],
  floor: Floor | undefined = FLOOR,
) {
  return makeQueryTwiceReport({
    startedAt: "2026-01-01T00:00:00.000Z",
    machine: MACHINE,
    server: { url: "http://127.0.0.1:1/v1", model: "synth:25m", args: ["serve"] },
    requestedPromptTokens: 8000,
    maxTokens: 3,
    rounds: rounds.map(([cold, ...warm]) => ({ numPromptTokens: 8000, cold, warm })),
    floor,
    cacheLogLines: [],
  });
}

test("the report's figures are medians, with their extremes", () => {
  const result = report([
    [timing(21_000, 0), timing(50, 7999)],
    [timing(20_000, 0), timing(90, 7999), timing(60, 7999)],
    [timing(29_000, 0), timing(60, 7990)],
  ]);
  expect(result.coldTtftMs).toEqual({ median: 21_000, min: 20_000, max: 29_000, count: 3 });
  expect(result.warmTtftMs).toEqual({ median: 60, min: 50, max: 90, count: 4 });
  expect(result.coldOverWarm).toBe(350);
  expect(result.warmOverFloor).toBe(1.5);
  expect(result.interTokenMs).toBe(32);
  expect(result.numHitTokens).toBe(7990);
  expect(queryTwiceFailures(result)).toEqual([]);
});

test("the table says what a reader asks first", () => {
  const table = queryTwiceTable(report([[timing(21_300, 0), timing(60, 7999)]]));
  expect(table.split("\n").map((line) => line.trim().replaceAll(/ +/g, " "))).toEqual([
    "prompt 8,000 tokens, one round",
    "cold 21.3 s to the first token 0 of 8,000 tokens from the cache",
    "warm 60 ms to the first token 7,999 of 8,000 tokens from the cache",
    "floor 40 ms copying 32.00 MiB 8.0 ms + one decode step 32 ms",
    "wire 56 ms warm without the client's own time: 1.40 times the floor",
    "library 48 ms warm from RAM without HTTP, in one process: 1.20 times the floor",
    "",
    "ratio 355 times sooner; warm is 1.50 times the floor",
    "answer the same tokens both times",
    "decode 32 ms from one token to the next",
  ]);
});

test("a warm answer with another text is a failure", () => {
  const result = report([[timing(21_000, 0, "abc"), timing(60, 7999, "abd")]]);
  expect(result.isAnswerEqual).toBe(false);
  expect(queryTwiceFailures(result)).toEqual([
    "The warm answer differs from the cold one in 1 of 1 rounds, at the earliest in token 3.",
  ]);
  expect(queryTwiceTable(result)).toContain("DIFFERENT");
});

test("answers of broken UTF-8 that look alike are told apart by their tokens", () => {
  const warm = { ...timing(60, 7999), tokenTexts: ["a", "b", "bytes:\\xff"] };
  expect(report([[timing(21_000, 0), warm]]).isAnswerEqual).toBe(false);
});

test("a warm request that reused little is a failure", () => {
  const result = report([
    [timing(21_000, 0), timing(60, 7999)],
    [timing(21_000, 0), timing(21_000, 256)],
  ]);
  expect(queryTwiceFailures(result)).toEqual([
    "The second request reused only 256 of 8,000 tokens.",
  ]);
});

test("a server that reports no hit tokens is not accused of having none", () => {
  const result = report([[timing(21_000, undefined), timing(60, undefined)]], undefined);
  expect(result.numHitTokens).toBeUndefined();
  expect(queryTwiceFailures(result)).toEqual([]);
  expect(queryTwiceTable(result)).toContain("not reported");
});

test("the floor of a cache that is not in RAM says how the bytes were moved", () => {
  const floorOf = (floor: Partial<Floor>): string | undefined => {
    const own = { ...FLOOR, ...floor };
    const table = queryTwiceTable(report([[timing(21_300, 0), timing(60, 7999)]], own));
    return /^ *floor +(.*)$/m.exec(table)?.[1];
  };
  expect(floorOf({ readMs: 10, totalMs: 42 })).toBe(
    "42 ms   reading 32.00 MiB 10 ms + one decode step 32 ms",
  );
  expect(floorOf({ transferMs: 12, totalMs: 44 })).toBe(
    "44 ms   fetching over plain TCP 32.00 MiB 12 ms + one decode step 32 ms",
  );
  expect(floorOf({ readMs: 5 })).toMatch(/^40 ms +copying/);
});

test("the plot's title says the ratio, its labels the times and the floor", () => {
  const svg = plotSvg(queryTwicePlot(report([[timing(21_300, 0), timing(60, 7999)]])));
  for (const text of ["355 times sooner", ">60 ms<", ">21.3 s<", ">floor 40 ms<"]) {
    expect(svg).toContain(text);
  }
});
