import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { EmbeddingQueue } from "../../../src/engine/embedding-queue.ts";
import { QueueFullError } from "../../../src/engine/engine.ts";
import type { EmbeddingShape } from "../../../src/engine/model-runner.ts";
import { FakeRunner } from "./fake-runner.ts";

const SHAPE: EmbeddingShape = {
  dimensions: 1,
  maxTokens: 40,
  passTokens: 10,
  numSequences: 3,
  canCut: true,
};

function createQueue(shape: Partial<EmbeddingShape> = {}): {
  queue: EmbeddingQueue;
  runner: FakeRunner;
} {
  const runner = new FakeRunner();
  const options = { runner, shape: { ...SHAPE, ...shape }, maxWaiting: 4 };
  return { queue: new EmbeddingQueue(options), runner };
}

function text(length: number, token = 1): Int32Array {
  return new Int32Array(length).fill(token);
}

async function drain(queue: EmbeddingQueue): Promise<void> {
  while (!queue.isEmpty) await queue.pass();
}

describe("EmbeddingQueue", () => {
  it("gives each text the vector of all its tokens, and keeps passes within their bounds", async () => {
    const lengths = fc.array(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(lengths, fc.boolean(), async (requests, canCut) => {
        const { queue, runner } = createQueue({ canCut });
        runner.beforePass = async () => {};
        const texts = requests.map((request, r) =>
          request.map((length, t) => text(length, 100 * r + t)),
        );
        const answers = texts.map((request) => queue.add(request));
        await drain(queue);
        for (const [i, answer] of answers.entries()) {
          expect((await answer).map((vector) => Int32Array.from(vector))).toEqual(texts[i]);
        }
        for (const items of runner.passes) {
          const numTokens = items.reduce((sum, { tokens }) => sum + tokens.length, 0);
          expect(items.length).toBeLessThanOrEqual(SHAPE.numSequences);
          expect(new Set(items.map(({ sequence }) => sequence)).size).toBe(items.length);
          if (canCut || items.length > 1) expect(numTokens).toBeLessThanOrEqual(SHAPE.passTokens);
          if (!canCut) expect(items.every(({ start, isLast }) => start === 0 && isLast)).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("lets requests take turns, text by text", async () => {
    const { queue } = createQueue();
    const ended: string[] = [];
    const long = queue
      .add(Array.from({ length: 20 }, () => text(10)))
      .then(() => ended.push("long"));
    const short = queue.add([text(1)]).then(() => ended.push("short"));
    await drain(queue);
    await Promise.all([long, short]);
    expect(ended).toEqual(["short", "long"]);
  });

  it("forgets a request that is aborted, in the midst of a text too", async () => {
    const { queue, runner } = createQueue();
    const controller = new AbortController();
    const aborted = queue.add([text(25), text(5)], controller.signal);
    await queue.pass();
    controller.abort();
    await expect(aborted).rejects.toThrow(/abort/i);
    expect(queue.isEmpty).toBe(true);
    const next = queue.add([text(12, 2)]);
    await drain(queue);
    expect(await next).toEqual([Float32Array.from(text(12, 2))]);
    expect(runner.passes).toHaveLength(3);
    await expect(queue.add([text(1)], controller.signal)).rejects.toThrow(/abort/i);
    expect(queue.isEmpty).toBe(true);
  });

  it("refuses texts that are empty or too long, and requests beyond its limit", () => {
    const { queue } = createQueue();
    expect(() => queue.add([text(1), text(0)])).toThrow(UsageError);
    expect(() => queue.add([text(41)])).toThrow("wanted 1 to 40 tokens, got 41");
    for (let i = 0; i < 4; i++) void queue.add([text(1)]);
    expect(() => queue.add([text(1)])).toThrow(QueueFullError);
  });

  it("tells those in a failed pass, and goes on with the others", async () => {
    const { queue, runner } = createQueue();
    const failing = queue.add([text(10), text(10)]);
    const other = queue.add([text(3)]);
    runner.beforePass = () => Promise.reject(new Error("out of luck"));
    await queue.pass();
    await expect(failing).rejects.toThrow("out of luck");
    runner.beforePass = async () => {};
    await drain(queue);
    expect(await other).toEqual([Float32Array.from(text(3))]);
  });

  it("rejects everybody when it is closed", async () => {
    const { queue } = createQueue();
    const answers = [queue.add([text(25)]), queue.add([text(1)])];
    await queue.pass();
    queue.close(new Error("closed"));
    expect(queue.isEmpty).toBe(true);
    for (const answer of answers) await expect(answer).rejects.toThrow("closed");
  });
});
