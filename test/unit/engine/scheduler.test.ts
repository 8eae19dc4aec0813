import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { QueueFullError } from "../../../src/engine/engine.ts";
import { defaultSamplingParams } from "../../../src/engine/sampling-params.ts";
import { Scheduler } from "../../../src/engine/scheduler.ts";
import { Sequence } from "../../../src/engine/sequence.ts";

let arrival = 0;

function sequence(numTokens: number, priority = 0): Sequence {
  return new Sequence(
    {
      id: `s${arrival}`,
      promptTokens: new Int32Array(numTokens),
      sampling: defaultSamplingParams,
      priority,
    },
    arrival++,
  );
}

function scheduler(options: Partial<ConstructorParameters<typeof Scheduler>[0]> = {}): Scheduler {
  return new Scheduler({
    numSlots: 4,
    numCells: 1000,
    maxStepTokens: 100,
    maxWaiting: 10,
    ...options,
  });
}

function start(target: Scheduler, ...sequences: Sequence[]): void {
  for (const each of sequences) target.add(each);
  for (const each of target.admit()) each.state = "running";
}

/** Computes what was scheduled and picks a token where the prompt is complete. */
function step(target: Scheduler): void {
  for (const { sequence: each, end } of target.schedule()) {
    each.numComputed = end;
    if (end === each.numTokens) each.append(1);
  }
}

describe("Scheduler", () => {
  it("cuts a long prompt into pieces of the step's budget", () => {
    const target = scheduler();
    const long = sequence(250);
    start(target, long);
    const pieces = [];
    while (long.numGenerated === 0) {
      pieces.push(target.schedule().map(({ start: from, end }) => [from, end]));
      step(target);
    }
    expect(pieces).toEqual([[[0, 100]], [[100, 200]], [[200, 250]]]);
  });

  it("gives every decoding sequence its token before any prompt", () => {
    const target = scheduler({ maxStepTokens: 10 });
    const first = sequence(3);
    const second = sequence(50);
    start(target, first);
    step(target);
    start(target, second);
    expect(target.schedule().map((chunk) => [chunk.sequence, chunk.end - chunk.start])).toEqual([
      [first, 1],
      [second, 9],
    ]);
  });

  it("advances prompts in smaller pieces while others decode", () => {
    const target = scheduler({ maxStepTokens: 512, numCells: 5000 });
    start(target, sequence(3));
    step(target);
    start(target, sequence(1000));
    expect(target.schedule()[1]).toMatchObject({ start: 0, end: 128 });
  });

  it("admits by priority, then by arrival, while slots last", () => {
    const target = scheduler({ numSlots: 2 });
    const [late, urgent, early] = [sequence(1, 1), sequence(1, -1), sequence(1, 0)];
    for (const each of [late, urgent, early]) target.add(each);
    expect(target.admit()).toEqual([urgent, early]);
    expect(target.numWaiting).toBe(1);
  });

  it("does not admit what does not fit in the free cells", () => {
    const target = scheduler();
    start(target, sequence(600));
    target.add(sequence(600));
    expect(target.admit()).toEqual([]);
  });

  it("refuses more than maxWaiting", () => {
    const target = scheduler({ maxWaiting: 1 });
    target.add(sequence(1));
    expect(() => target.add(sequence(1))).toThrow(QueueFullError);
  });

  it("preempts the last that came when tokens outgrow the cells, and lets it wait in its turn", () => {
    const target = scheduler({ numCells: 100, maxStepTokens: 200 });
    const [older, younger] = [sequence(30), sequence(30)];
    start(target, older);
    start(target, younger);
    while (target.numUsedCells <= 100) step(target);
    expect(target.preempt().map((victim) => victim.sequence)).toEqual([younger]);
    expect(younger).toMatchObject({ state: "waiting", slot: undefined, numComputed: 0 });
    expect(target.numUsedCells).toBeLessThanOrEqual(100);
    expect(target.numWaiting).toBe(1);
  });

  it("keeps its bounds under random traffic, and everybody finishes", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            prompt: fc.integer({ min: 1, max: 300 }),
            answer: fc.integer({ min: 1, max: 60 }),
          }),
          {
            minLength: 1,
            maxLength: 20,
          },
        ),
        (requests) => {
          const target = scheduler({
            numCells: 400,
            numSlots: 3,
            maxWaiting: 100,
            maxStepTokens: 64,
          });
          const goal = new Map(requests.map(({ prompt, answer }) => [sequence(prompt), answer]));
          for (const each of goal.keys()) target.add(each);
          for (let turn = 0; goal.size > 0; turn++) {
            expect(turn).toBeLessThan(5000);
            for (const each of target.admit()) each.state = "running";
            target.preempt();
            expect(target.numUsedCells).toBeLessThanOrEqual(400);
            const chunks = target.schedule();
            expect(chunks.length).toBeGreaterThan(0);
            expect(
              chunks.reduce((sum, { start: from, end }) => sum + end - from, 0),
            ).toBeLessThanOrEqual(64);
            for (const { sequence: each, end } of chunks) {
              each.numComputed = end;
              if (end < each.numTokens) continue;
              each.append(1);
              if (each.numGenerated < goal.get(each)!) continue;
              target.release(each);
              goal.delete(each);
            }
          }
          expect(target.numUsedCells).toBe(0);
        },
      ),
      { numRuns: 50 },
    );
  });
});
