import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { synthesizeModel } from "../../../src/models/index.ts";
import { synthFamilies } from "../../../src/models/synth-name.ts";
import { answer, expectSameUpToRounding, openEngine, promptOf } from "../engine/engines.ts";

const directory = mkdtempSync(join(tmpdir(), "warmkv-reuse-"));
afterAll(() => rmSync(directory, { recursive: true }));

const DENSE = new Set([
  "llama",
  "qwen2vl",
  "qwen3vl",
  "deepseek2",
  "deepseek32",
  "glm-dsa",
  "minimax-m3",
]);
const HAS_SMALL_STATE = new Set(["lfm2"]);

const NUM_TOKENS = 1100;
const ANSWER = { maxTokens: 6 };
/**
 * Steps end elsewhere with a cache, and cells lie elsewhere beside others. A state that is lost moves logits by
 * 2 to 14, that of lfm2 by 0.03.
 */
const ROUNDING = 0.01;

describe.each(synthFamilies())("a %s model", (family) => {
  const isDense = DENSE.has(family);
  const a = promptOf(NUM_TOKENS, 1);
  const branch = (seed: number): Int32Array =>
    Int32Array.from([...a.subarray(0, 700), ...promptOf(300, seed)]);
  const nextTurn = Int32Array.from([...a, ...promptOf(200, 7)]);

  it("answers alike cold, from RAM, from disk, after a restart and beside others, and reuses what it can", async () => {
    const model = join(directory, `${family}.gguf`);
    await synthesizeModel({ family, numParams: 1e6, type: "f32", path: model });
    const numCells = 8192;
    const cacheOptions = {
      chunkSize: 256,
      maxLocalCpuSize: "64MiB",
      localDisk: join(directory, family),
      maxLocalDiskSize: "256MiB",
    };
    const prompts = [a, branch(2), branch(3), nextTurn, branch(4)];
    const expected: Awaited<ReturnType<typeof answer>>[] = [];
    {
      await using plain = await openEngine({ model, numCells });
      for (const prompt of prompts) expected.push(await answer(plain.engine, prompt, ANSWER));
    }
    const numsCached: Record<string, number> = {};
    const check = async (
      name: string,
      { engine }: Awaited<ReturnType<typeof openEngine>>,
      index: number,
    ): Promise<void> => {
      const actual = await answer(engine, prompts[index]!, ANSWER);
      expect(actual.tokens, name).toEqual(expected[index]!.tokens);
      expectSameUpToRounding(actual, expected[index]!, ROUNDING);
      numsCached[name] = actual.numCachedTokens;
    };
    {
      await using cached = await openEngine({ model, numCells, cacheOptions });
      await check("cold", cached, 0);
      await check("warm", cached, 0);
      await check("first branch", cached, 1);
      await check("second branch", cached, 2);
      await check("next turn", cached, 3);
      await cached.cache!.flush();
      await cached.cache!.clear({ location: "LocalCPUBackend" });
      await check("from disk", cached, 0);
    }
    await using restarted = await openEngine({ model, numCells, cacheOptions });
    const others = [11, 12].map((seed) =>
      answer(restarted.engine, promptOf(300, seed), { maxTokens: 40 }),
    );
    await check("beside others", restarted, 0);
    await check("third branch beside others", restarted, 4);
    await Promise.all(others);
    expect(numsCached).toEqual({
      cold: 0,
      warm: 1099,
      // Nobody knew that others would branch off here, where a state is not kept at each chunk as a matter of course.
      "first branch": isDense || HAS_SMALL_STATE.has(family) ? 512 : 0,
      "second branch": 512,
      // A state stands at whole chunks; without one the partial chunk at the end serves too.
      "next turn": isDense ? 1099 : 1024,
      "from disk": 1099,
      "beside others": 1099,
      "third branch beside others": 512,
    });
  });
});
