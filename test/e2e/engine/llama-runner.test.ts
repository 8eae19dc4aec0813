import { afterAll, beforeAll, expect, it } from "vitest";
import { LlamaRunner } from "../../../src/engine/llama/llama-runner.ts";
import type { StepItem } from "../../../src/engine/model-runner.ts";
import { defaultSamplingParams } from "../../../src/engine/sampling-params.ts";
import { resolveModel } from "../../../src/models/index.ts";

let runner: LlamaRunner;
beforeAll(async () => {
  const { path } = await resolveModel("synth:1m");
  runner = await LlamaRunner.start({
    modelPath: path,
    numGpuLayers: 0,
    maxModelLen: 1024,
    numCells: 4096,
    numSequences: 4,
    numBatchTokens: 512,
    numThreads: 1,
    kvType: "f16",
    adapters: [],
    modules: [],
    embeddings: undefined,
  });
});
afterAll(() => runner[Symbol.asyncDispose]());

/** @param calls how many steps each call of run() asks for */
async function answer(
  sequence: number,
  calls: readonly number[],
  onToken: (numTokens: number) => void = () => {},
): Promise<number[]> {
  const samplerId = `s${sequence}`;
  await runner.addSampler(
    samplerId,
    { ...defaultSamplingParams, temperature: 0 },
    new Int32Array(),
  );
  const item = (tokens: number[], start: number): StepItem => ({
    sequence,
    tokens: Int32Array.from(tokens),
    start,
    samplerId,
    module: undefined,
    suppressEnd: true,
    numLogprobs: undefined,
  });
  const tokens: number[] = [];
  let next = item([72, 101, 108, 108, 111], 0);
  for (const numSteps of calls) {
    await runner.run([next], numSteps, ({ sampled }) => {
      tokens.push(sampled[0]!.token);
      onToken(tokens.length);
    });
    next = item(tokens.slice(-1), 4 + tokens.length);
  }
  return tokens;
}

it("LlamaRunner.run() gives the same tokens in one call as step by step", async () => {
  const oneByOne = await answer(
    0,
    Array.from({ length: 24 }, () => 1),
  );
  expect(oneByOne).toHaveLength(24);
  expect(await answer(1, [1, 16, 7])).toEqual(oneByOne);
});

it("LlamaRunner.run() ends behind the step under way when another call waits", async () => {
  const tokens = await answer(2, [1, 3000], (numTokens) => {
    if (numTokens === 5) runner.interrupt();
  });
  expect(tokens.length).toBeGreaterThan(5);
  expect(tokens.length).toBeLessThan(3000);
  // It goes on where it was.
  expect((await answer(3, [1, tokens.length - 1])).slice(0, tokens.length)).toEqual(tokens);
});
