import type { Clock } from "../core/index.ts";
import { type Summary, summarize } from "./statistics.ts";

/** Something of ours against the plainest way to do the same, in the same run. */
export interface Contest {
  /** Brings both to their start; not timed. */
  prepare?(): Promise<void>;
  ours(): Promise<void>;
  plain(): Promise<void>;
}

export interface ContestResult {
  readonly oursMs: Summary;
  readonly plainMs: Summary;
  /** Median plain over median ours: 1 is as fast as plain, 0.5 takes twice as long. */
  readonly shareOfPlain: number;
}

/** Times both in turns, so that what drifts on the machine hits both alike. One round before is not counted. */
export async function runContest(
  contest: Contest,
  numRounds: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<ContestResult> {
  const oursMs: number[] = [];
  const plainMs: number[] = [];
  const time = async (run: () => Promise<void>): Promise<number> => {
    const startMs = clock.nowMs();
    await run();
    return clock.nowMs() - startMs;
  };
  for (let round = -1; round < numRounds; round++) {
    signal?.throwIfAborted();
    await contest.prepare?.();
    const isOursFirst = round % 2 === 0;
    if (isOursFirst) oursMs.push(await time(() => contest.ours()));
    plainMs.push(await time(() => contest.plain()));
    if (!isOursFirst) oursMs.push(await time(() => contest.ours()));
  }
  const ours = summarize(oursMs.slice(1));
  const plain = summarize(plainMs.slice(1));
  return { oursMs: ours, plainMs: plain, shareOfPlain: plain.median / ours.median };
}
