import { expect, test } from "vitest";
import type { EngineKvPart } from "../../../src/connector/connector.ts";
import type { ModelRunner } from "../../../src/engine/model-runner.ts";
import { RestorePacer } from "../../../src/engine/restore-pacer.ts";

const MB = 1_000_000;

/** Takes a millisecond per megabyte, as the pacer believes at first. */
class Runner {
  nowMs = 0;
  readonly calls: { slot: number; starts: number[] }[] = [];
  /** Parts that are taken before the engine refuses. */
  limit = Infinity;

  async restore(slot: number, parts: readonly EngineKvPart[]): Promise<number> {
    this.calls.push({ slot, starts: parts.map((part) => part.start) });
    const num = Math.min(parts.length, this.limit);
    this.limit -= num;
    this.nowMs += parts.reduce((sum, part) => sum + part.byteLength, 0) / MB;
    return num;
  }
}

function partsOf(num: number): EngineKvPart[] {
  return Array.from({ length: num }, (_, start) => ({
    kind: "tokens" as const,
    start,
    end: start + 1,
    address: 0n,
    byteLength: MB,
  }));
}

function open() {
  const runner = new Runner();
  const pacer = new RestorePacer(runner as unknown as ModelRunner, () => runner.nowMs);
  return { runner, pacer };
}

/** One step of this length. */
async function step(pacer: RestorePacer, durationMs: number): Promise<void> {
  pacer.beforeStep();
  await Promise.resolve();
  pacer.afterStep(durationMs);
}

test("an idle engine is given all at once", async () => {
  const { runner, pacer } = open();
  expect(await pacer.restore(1, partsOf(50))).toBe(50);
  expect(runner.calls).toHaveLength(1);
});

test("beside steps, a share of a step's time goes into restores, and at least one part", async () => {
  const { runner, pacer } = open();
  await step(pacer, 25);
  const restoring = pacer.restore(1, partsOf(8));
  expect(runner.calls).toEqual([]);
  await step(pacer, 25);
  expect(runner.calls).toEqual([{ slot: 1, starts: [0, 1, 2] }]);
  await step(pacer, 1);
  await step(pacer, 25);
  expect(runner.calls.slice(1)).toEqual([
    { slot: 1, starts: [3, 4, 5] },
    { slot: 1, starts: [6] },
  ]);
  pacer.whenIdle();
  expect(await restoring).toBe(8);
});

test("the pace follows what restores have taken", async () => {
  const { runner, pacer } = open();
  const slow = runner.restore.bind(runner);
  runner.restore = async (slot, parts) => {
    runner.nowMs += parts.length * 9;
    return slow(slot, parts);
  };
  for (let turn = 0; turn < 20; turn++) await pacer.restore(0, partsOf(1));
  await step(pacer, 100);
  void pacer.restore(1, partsOf(50));
  await step(pacer, 100);
  expect(runner.calls.at(-1)!.starts.length).toBeLessThanOrEqual(2);
});

test("when the last step is over, the rest goes at once", async () => {
  const { runner, pacer } = open();
  await step(pacer, 10);
  const restoring = pacer.restore(1, partsOf(30));
  pacer.whenIdle();
  expect(await restoring).toBe(30);
  expect(runner.calls).toHaveLength(1);
});

test("restores of one slot never overtake each other; those of others go beside them", async () => {
  const { runner, pacer } = open();
  await step(pacer, 25);
  const all = [
    pacer.restore(1, partsOf(4)),
    pacer.restore(1, partsOf(1)),
    pacer.restore(2, partsOf(1)),
  ];
  await step(pacer, 25);
  await step(pacer, 25);
  pacer.whenIdle();
  expect(await Promise.all(all)).toEqual([4, 1, 1]);
  const ofFirst = runner.calls.filter(({ slot }) => slot === 1).flatMap(({ starts }) => starts);
  expect(ofFirst).toEqual([0, 1, 2, 3, 0]);
});

test("an engine that refuses a part ends the restore there", async () => {
  const { runner, pacer } = open();
  runner.limit = 4;
  await step(pacer, 25);
  const restoring = pacer.restore(1, partsOf(9));
  await step(pacer, 25);
  await step(pacer, 25);
  expect(await restoring).toBe(4);
  await step(pacer, 25);
  expect(runner.calls).toHaveLength(2);
});

test("cancel() keeps what was not sent from a slot's next owner", async () => {
  const { runner, pacer } = open();
  await step(pacer, 25);
  const restoring = pacer.restore(1, partsOf(9));
  await step(pacer, 25);
  pacer.cancel(1);
  expect(await restoring).toBeLessThanOrEqual(3);
  pacer.whenIdle();
  await step(pacer, 25);
  expect(runner.calls).toHaveLength(1);
});

test("a runner that fails fails the restore, and the next one is tried", async () => {
  const { runner, pacer } = open();
  const works = runner.restore.bind(runner);
  runner.restore = () => Promise.reject(new Error("gone"));
  await expect(pacer.restore(1, partsOf(2))).rejects.toThrow("gone");
  runner.restore = works;
  expect(await pacer.restore(1, partsOf(2))).toBe(2);
});
