import { expect, test } from "vitest";
import { type Contest, runContest } from "../../../src/bench/contest.ts";
import type { Clock } from "../../../src/core/index.ts";

class ManualClock implements Clock {
  now = 0;
  nowMs(): number {
    return this.now;
  }
  wallMs(): number {
    return this.now;
  }
}

function scripted(clock: ManualClock, oursMs: number[], plainMs: number[]) {
  const calls: string[] = [];
  const run = (name: string, durations: number[]) => async (): Promise<void> => {
    calls.push(name);
    clock.now += durations.shift()!;
  };
  const contest: Contest = {
    prepare: run("prepare", Array(10).fill(1000)),
    ours: run("ours", oursMs),
    plain: run("plain", plainMs),
  };
  return { contest, calls };
}

test("runContest() takes turns, and does not count the first round", async () => {
  const clock = new ManualClock();
  const { contest, calls } = scripted(clock, [900, 10, 20, 40], [900, 8, 12, 10]);
  const result = await runContest(contest, 3, clock);
  expect(result).toEqual({
    oursMs: { median: 20, min: 10, max: 40, count: 3 },
    plainMs: { median: 10, min: 8, max: 12, count: 3 },
    shareOfPlain: 0.5,
  });
  expect(calls.join(" ")).toBe(
    "prepare plain ours prepare ours plain prepare plain ours prepare ours plain",
  );
});

test("runContest() stops between two rounds when its signal is aborted", async () => {
  const clock = new ManualClock();
  const interruption = new AbortController();
  const { contest, calls } = scripted(clock, Array(9).fill(1), Array(9).fill(1));
  const aborting = { ...contest, plain: async () => interruption.abort(new Error("Interrupted")) };
  await expect(runContest(aborting, 5, clock, interruption.signal)).rejects.toThrow("Interrupted");
  expect(calls).toEqual(["prepare", "ours"]);
});
