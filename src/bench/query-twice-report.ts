import { formatCount } from "./format.ts";
import type { Floor } from "./floor.ts";
import type { Machine } from "./machine.ts";
import type { CompletionTiming } from "./openai-timing.ts";
import type { QueryRound } from "./query-twice.ts";
import { median, type Summary, summarize } from "./statistics.ts";

/** What `--json` writes. Fields are only ever added; a change of meaning raises `version`. */
export interface QueryTwiceReport {
  readonly benchmark: "query-twice";
  readonly version: 2;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly machine: Machine;
  readonly server: MeasuredServer;
  readonly requestedPromptTokens: number;
  readonly maxTokens: number;
  readonly rounds: readonly QueryRound[];
  readonly coldTtftMs: Summary;
  readonly warmTtftMs: Summary;
  /** Of warm requests: see CompletionTiming. */
  readonly warmWireTtftMs: Summary;
  /** Median cold over median warm. */
  readonly coldOverWarm: number;
  /** Mean wait between tokens of an answer, the median of all: tokens may come several at a time. */
  readonly interTokenMs: number | undefined;
  /** The fewest of any warm request; undefined when the server does not report them. */
  readonly numHitTokens: number | undefined;
  /** Whether each warm answer was the same text, token by token, as its cold one. */
  readonly isAnswerEqual: boolean;
  readonly floor: Floor | undefined;
  /** Median warm over the floor. */
  readonly warmOverFloor: number | undefined;
  /** The same, without the client's own time. */
  readonly warmWireOverFloor: number | undefined;
  /** What the server logged about the cache; empty for servers of others. */
  readonly cacheLogLines: readonly string[];
}

/** How it was started; undefined for one that ran already. */
interface MeasuredServer {
  readonly url: string;
  readonly model: string;
  readonly args: readonly string[] | undefined;
}

type Measured = Omit<
  QueryTwiceReport,
  | "benchmark"
  | "version"
  | "coldTtftMs"
  | "warmTtftMs"
  | "warmWireTtftMs"
  | "coldOverWarm"
  | "interTokenMs"
  | "numHitTokens"
  | "isAnswerEqual"
  | "warmOverFloor"
  | "warmWireOverFloor"
>;

export function makeQueryTwiceReport(measured: Measured): QueryTwiceReport {
  const { rounds, floor } = measured;
  const coldTtftMs = summarize(rounds.map(({ cold }) => cold.ttftMs));
  const warmTtftMs = summarize(rounds.flatMap(({ warm }) => warm.map(({ ttftMs }) => ttftMs)));
  const warmWireTtftMs = summarize(
    rounds.flatMap(({ warm }) => warm.map(({ wireTtftMs }) => wireTtftMs)),
  );
  const waitsMs = rounds.flatMap(({ cold, warm }) =>
    [cold, ...warm].flatMap(({ interTokenMs }) => mean(interTokenMs) ?? []),
  );
  const hits = rounds.flatMap(({ warm }) => warm.map(({ numCachedTokens }) => numCachedTokens));
  return {
    benchmark: "query-twice",
    version: 2,
    ...measured,
    coldTtftMs,
    warmTtftMs,
    warmWireTtftMs,
    coldOverWarm: coldTtftMs.median / warmTtftMs.median,
    interTokenMs: waitsMs.length === 0 ? undefined : median(waitsMs),
    numHitTokens: hits.every((hit) => hit !== undefined) ? Math.min(...hits) : undefined,
    isAnswerEqual: rounds.every((round) => firstDifference(round) === undefined),
    warmOverFloor: floor && warmTtftMs.median / floor.totalMs,
    warmWireOverFloor: floor && warmWireTtftMs.median / floor.totalMs,
  };
}

/** The index of the first token in which a warm answer differs from the cold one; undefined when none does. */
function firstDifference({ cold, warm }: QueryRound): number | undefined {
  const indices = warm.flatMap((answer) => differenceOf(cold, answer) ?? []);
  return indices.length === 0 ? undefined : Math.min(...indices);
}

function differenceOf(cold: CompletionTiming, warm: CompletionTiming): number | undefined {
  const index = cold.tokenTexts.findIndex((text, at) => text !== warm.tokenTexts[at]);
  if (index >= 0) return index;
  const isEqual = cold.text === warm.text && cold.numCompletionTokens === warm.numCompletionTokens;
  return isEqual ? undefined : cold.tokenTexts.length;
}

/** Whole chunks of any usual size come to more than this. */
const WANTED_HIT_SHARE = 0.5;

/** Sentences about what went wrong; none when the cache did its work. */
export function queryTwiceFailures(report: QueryTwiceReport): string[] {
  const failures: string[] = [];
  const { numHitTokens, rounds } = report;
  const differences = rounds.map(firstDifference).filter((index) => index !== undefined);
  if (differences.length > 0) {
    failures.push(
      `The warm answer differs from the cold one in ${differences.length} of ${rounds.length} rounds, at the earliest in token ${Math.min(...differences) + 1}.`,
    );
  }
  const numPromptTokens = rounds[0]!.numPromptTokens;
  if (numHitTokens !== undefined && numHitTokens < numPromptTokens * WANTED_HIT_SHARE) {
    failures.push(
      `The second request reused only ${formatCount(numHitTokens)} of ${formatCount(numPromptTokens)} tokens.`,
    );
  }
  return failures;
}

function mean(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
