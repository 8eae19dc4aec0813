import type { Machine } from "./machine.ts";
import { observeMachine } from "./machine.ts";
import { nextPrompt, sendPrompt } from "./query-twice.ts";
import { type BenchSettings, openOwnServer, prepare } from "./run-query-twice.ts";
import { median, type Summary, summarize } from "./statistics.ts";

/** What keeping KV costs the requests that compute it. What `--json` writes with `--compare-cache-off`. */
export interface CacheOverheadReport {
  readonly benchmark: "cache-overhead";
  readonly version: 1;
  readonly startedAt: string;
  readonly machine: Machine;
  readonly model: string;
  readonly numPromptTokens: number;
  readonly rounds: readonly OverheadRound[];
  readonly cacheOnTtftMs: Summary;
  readonly cacheOffTtftMs: Summary;
  /** Between the medians: 3 means that with the cache on the first token comes 3 % later. */
  readonly overheadPercent: number;
  /** Median of what each round differs by: steadier on a machine whose speed drifts. */
  readonly pairedOverheadPercent: number;
}

/** Time to first token of one prompt that neither server had seen. */
interface OverheadRound {
  readonly cacheOnMs: number;
  readonly cacheOffMs: number;
}

/** More than this is a fault. */
export const MAX_OVERHEAD_PERCENT = 3;

/** Cold requests to a server with the cache on and to one with it off, in turns. */
export async function runCacheOverhead(settings: BenchSettings): Promise<CacheOverheadReport> {
  const startedAt = new Date().toISOString();
  const describeMachine = observeMachine();
  await using cacheOn = await openOwnServer(settings, true);
  await using cacheOff = await openOwnServer(settings, false);
  const on = await prepare(cacheOn, settings);
  const off = await prepare(cacheOff, settings);
  const rounds: OverheadRound[] = [];
  for (let round = 0; round < settings.numRounds; round++) {
    const prompt = await nextPrompt(on);
    settings.progress.show(
      `cold with the cache on and off, round ${round + 1} of ${settings.numRounds}`,
    );
    const time = async (target: typeof on): Promise<number> =>
      (await sendPrompt(target, prompt)).ttftMs;
    // Who goes first alternates: what the first run leaves behind (heat, page cache) hits both.
    if (round % 2 === 0) {
      const cacheOnMs = await time(on);
      rounds.push({ cacheOnMs, cacheOffMs: await time(off) });
    } else {
      const cacheOffMs = await time(off);
      rounds.push({ cacheOnMs: await time(on), cacheOffMs });
    }
  }
  settings.progress.hide();
  return makeCacheOverheadReport({
    startedAt,
    machine: describeMachine(),
    model: settings.model ?? cacheOn.model,
    numPromptTokens: settings.numPromptTokens,
    rounds,
  });
}

type Measured = Pick<
  CacheOverheadReport,
  "startedAt" | "machine" | "model" | "numPromptTokens" | "rounds"
>;

export function makeCacheOverheadReport(measured: Measured): CacheOverheadReport {
  const { rounds } = measured;
  const cacheOnTtftMs = summarize(rounds.map((round) => round.cacheOnMs));
  const cacheOffTtftMs = summarize(rounds.map((round) => round.cacheOffMs));
  return {
    benchmark: "cache-overhead",
    version: 1,
    ...measured,
    cacheOnTtftMs,
    cacheOffTtftMs,
    overheadPercent: percentAbove(cacheOnTtftMs.median, cacheOffTtftMs.median),
    pairedOverheadPercent: median(
      rounds.map((round) => percentAbove(round.cacheOnMs, round.cacheOffMs)),
    ),
  };
}

function percentAbove(value: number, base: number): number {
  return (value / base - 1) * 100;
}
