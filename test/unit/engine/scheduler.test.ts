import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { QueueFullError } from "../../../src/engine/engine.ts";
import { type SamplingParams, defaultSamplingParams } from "../../../src/engine/sampling-params.ts";
import { MAX_SCORED_TOKENS } from "../../../src/engine/model-runner.ts";
import { Scheduler, WIDE_TOKENS, isScored, resumeAt } from "../../../src/engine/scheduler.ts";
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
    100_000,
  );
}

function scheduler(options: Partial<ConstructorParameters<typeof Scheduler>[0]> = {}): Scheduler {
  return new Scheduler({
    numSlots: 4,
    numCells: 5000,
    maxStepTokens: 512,
    maxWaiting: 10,
    ...options,
  });
}

function start(target: Scheduler, ...sequences: Sequence[]): void {
  for (const each of sequences) target.add(each);
  for (const each of target.admit()) each.state = "running";
}

/** Computes what is scheduled and picks a token where a prompt is complete. @returns what was computed */
function step(target: Scheduler): [Sequence, number, number][] {
  return target.schedule().map(({ sequence: each, start: from, end }) => {
    each.numComputed = end;
    if (end === each.numTokens) each.append(1);
    return [each, from, end];
  });
}

describe("Scheduler.numStepsAhead()", () => {
  /** Each of them has got its first token. */
  function decoding(target: Scheduler, ...sequences: Sequence[]): void {
    start(target, ...sequences);
    while (sequences.some(({ numGenerated }) => numGenerated === 0)) step(target);
  }

  const of = (numTokens: number, sampling: Partial<SamplingParams>): Sequence =>
    new Sequence(
      {
        id: "s",
        promptTokens: new Int32Array(numTokens),
        sampling: { ...defaultSamplingParams, maxTokens: 1000, ...sampling },
      },
      arrival++,
      100_000,
    );

  it("is one while prompts are computed, somebody loads, or a first token comes", () => {
    const target = scheduler();
    const prompt = of(200, {});
    start(target, prompt);
    expect(target.numStepsAhead(target.schedule())).toBe(1);
    step(target);
    const lastToken = target.schedule();
    expect(lastToken).toMatchObject([{ start: 199, end: 200 }]);
    expect(target.numStepsAhead(lastToken)).toBe(1);
    step(target);
    expect(target.numStepsAhead(target.schedule())).toBeGreaterThan(1);
    target.add(of(10, {}));
    target.admit();
    expect(target.numStepsAhead(target.schedule())).toBe(1);
  });

  it("ends where the first of them ends, or may end", () => {
    const numSteps = (sampling: Partial<SamplingParams>): number => {
      const target = scheduler();
      decoding(target, of(10, {}), of(10, sampling));
      return target.numStepsAhead(target.schedule());
    };
    expect(numSteps({ maxTokens: 4 })).toBe(3);
    expect(numSteps({ minTokens: 6 })).toBe(5);
  });

  it("never needs more cells than there are", () => {
    const target = scheduler({ numCells: 300 });
    const sequences = [of(70, {}), of(70, {}), of(70, {})];
    decoding(target, ...sequences);
    for (;;) {
      const chunks = target.schedule();
      const numSteps = target.numStepsAhead(chunks);
      if (target.numUsedCells + chunks.length > 300) {
        expect(numSteps).toBe(1);
        return;
      }
      expect(target.numUsedCells + (numSteps - 1) * chunks.length).toBeLessThanOrEqual(300);
      for (let i = 0; i < numSteps; i++) step(target);
    }
  });
});

describe("Scheduler.schedule()", () => {
  it("computes a prompt in wide pieces, and its last token alone", () => {
    const target = scheduler();
    const long = sequence(1300);
    start(target, long);
    const pieces = [];
    while (long.numGenerated === 0)
      pieces.push(...step(target).map(([, from, end]) => [from, end]));
    expect(pieces).toEqual([
      [0, 512],
      [512, 1024],
      [1024, 1299],
      [1299, 1300],
    ]);
  });

  it("leaves no rest that is too narrow", () => {
    const target = scheduler();
    const prompt = sequence(512 + 20 + 1);
    start(target, prompt);
    expect(step(target)).toEqual([[prompt, 0, 532 - WIDE_TOKENS]]);
    expect(step(target)).toEqual([[prompt, 532 - WIDE_TOKENS, 532]]);
  });

  it("ends steps at a prompt's stops, but for those that would make a narrow piece", () => {
    const target = scheduler();
    const prompt = sequence(1300);
    prompt.stops = [32, 256, 300, 800, 1299 - WIDE_TOKENS + 1, 1299];
    start(target, prompt);
    const ends = [];
    while (prompt.numGenerated === 0) ends.push(step(target)[0]![2]);
    expect(ends).toEqual([256, 736, 800, 1299, 1300]);
  });

  it("computes a short prompt in one narrow piece", () => {
    const target = scheduler();
    const short = sequence(40);
    start(target, short);
    expect(step(target)).toEqual([[short, 0, 39]]);
    expect(step(target)).toEqual([[short, 39, 40]]);
  });

  it("lets decodes and prompts take turns, prompts in smaller pieces", () => {
    const target = scheduler();
    const decoding = sequence(1);
    start(target, decoding);
    step(target);
    const long = sequence(1000);
    start(target, long);
    const turns = Array.from({ length: 4 }, () =>
      step(target).map(([each, from, end]) => [each, end - from]),
    );
    expect(turns).toHaveLength(4);
    expect(turns.filter(([first]) => first![0] === decoding)).toEqual([
      [[decoding, 1]],
      [[decoding, 1]],
    ]);
    expect(turns.filter(([first]) => first![0] === long)).toEqual([[[long, 128]], [[long, 128]]]);
  });

  it("gives every one of 100 decoding sequences its turn, never more than a narrow step holds", () => {
    const target = scheduler({ numSlots: 100, maxWaiting: 100 });
    const all = Array.from({ length: 100 }, () => sequence(1));
    start(target, ...all);
    for (let turn = 0; turn < 20; turn++) expect(step(target).length).toBeLessThan(WIDE_TOKENS);
    const counts = all.map((each) => each.numGenerated);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  });
});

describe("resumeAt()", () => {
  it("computes the last token in any case", () => {
    expect(resumeAt(sequence(300), 300)).toBe(299);
    expect(resumeAt(sequence(300), 299)).toBe(299);
    expect(resumeAt(sequence(1), 1)).toBe(0);
  });

  it("gives up some of what was loaded rather than compute a narrow rest", () => {
    expect(resumeAt(sequence(300), 256)).toBe(299 - WIDE_TOKENS);
    expect(resumeAt(sequence(400), 256)).toBe(256);
    expect(resumeAt(sequence(400), 0)).toBe(0);
  });

  it("keeps all that was loaded of a prompt that is narrow as a whole", () => {
    expect(resumeAt(sequence(60), 48)).toBe(48);
  });
});

describe("Scheduler", () => {
  it("admits by priority, then by arrival, while slots last", () => {
    const target = scheduler({ numSlots: 2 });
    const [late, urgent, early] = [sequence(1, 1), sequence(1, -1), sequence(1, 0)];
    for (const each of [late, urgent, early]) target.add(each);
    expect(target.admit()).toEqual([urgent, early]);
    expect(target.numWaiting).toBe(1);
  });

  it("does not admit what does not fit in the free cells", () => {
    const target = scheduler({ numCells: 1000 });
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
    const target = scheduler({ numCells: 100 });
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
            maxStepTokens: 128,
          });
          const goal = new Map(requests.map(({ prompt, answer }) => [sequence(prompt), answer]));
          for (const each of goal.keys()) {
            const middle = Math.floor(each.numPromptTokens / 2);
            each.stops = [middle, middle + 70].filter(each.canResumeAt);
          }
          for (const each of goal.keys()) target.add(each);
          for (let turn = 0; goal.size > 0; turn++) {
            expect(turn).toBeLessThan(5000);
            for (const each of target.admit()) each.state = "running";
            target.preempt();
            expect(target.numUsedCells).toBeLessThanOrEqual(400);
            const chunks = target.schedule();
            expect(chunks.length).toBeGreaterThan(0);
            const lengths = chunks.map(({ start: from, end }) => end - from);
            const total = lengths.reduce((sum, length) => sum + length, 0);
            expect(total).toBeLessThanOrEqual(128);
            // All narrow or all wide.
            expect(total < WIDE_TOKENS || Math.min(...lengths) >= WIDE_TOKENS).toBe(true);
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

describe("LoRA modules", () => {
  const of = (module: number | undefined, numTokens: number): Sequence => {
    const created = sequence(numTokens);
    created.module = module;
    return created;
  };

  it("have steps of their own, and all get on", () => {
    const target = scheduler({ numSlots: 6 });
    const sequences = [of(undefined, 700), of(0, 5), of(0, 400), of(1, 300), of(undefined, 3)];
    start(target, ...sequences);
    const numSteps = new Map<number | undefined, number>();
    for (let i = 0; i < 60; i++) {
      const [first, ...others] = step(target).map(([each]) => each.module);
      expect(others.every((module) => module === first)).toBe(true);
      numSteps.set(first, (numSteps.get(first) ?? 0) + 1);
    }
    for (const each of sequences) expect(each.numGenerated).toBeGreaterThan(3);
    for (const count of numSteps.values()) expect(count).toBe(20);
  });

  it("keep nobody from a long prompt while others decode", () => {
    const target = scheduler();
    const sequences = [of(0, 3), of(0, 1000), of(1, 3), of(1, 1000)];
    start(target, ...sequences);
    for (let i = 0; i < 60; i++) step(target);
    for (const each of sequences) expect(each.numGenerated).toBeGreaterThan(1);
  });
});

describe("a prompt that is scored", () => {
  const scored = (numTokens: number): Sequence => {
    const sampling = { ...defaultSamplingParams, numPromptLogprobs: 1 };
    const request = { id: "s", promptTokens: new Int32Array(numTokens), sampling };
    return new Sequence(request, arrival++, 100_000);
  };

  it.each([64, 65, 127, 128, 129, 192, 500, 1000])(
    "of %d tokens comes in pieces that its scores have room in, one at a time",
    (numTokens) => {
      const target = scheduler();
      const sequences = [scored(numTokens), scored(numTokens), sequence(700)];
      start(target, ...sequences);
      for (let i = 0; i < 100; i++) {
        const pieces = step(target).filter(([each]) => isScored(each));
        const numScored = pieces.reduce((sum, [, from, end]) => sum + end - from, 0);
        expect(numScored).toBeLessThanOrEqual(MAX_SCORED_TOKENS);
      }
      for (const each of sequences) expect(each.numGenerated).toBeGreaterThan(0);
    },
  );
});
