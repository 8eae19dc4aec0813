import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { subscribe } from "../../../src/core/index.ts";
import { synthesizeModel } from "../../../src/models/index.ts";
import { answer, expectSameUpToRounding, openEngine, promptOf } from "../engine/engines.ts";

const directory = mkdtempSync(join(tmpdir(), "warmkv-crowded-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** Steps of other lengths and cells in other places move logits by so much; a state that is lost by 2 to 14. */
const ROUNDING = 0.05;

describe.each(["gemma3", "qwen35", "mamba2", "deepseek4"])("a %s model", (family) => {
  it("gives the answers it gives alone to clients for whom there are too few cells", async () => {
    const model = join(directory, `${family}.gguf`);
    await synthesizeModel({ family, numParams: 1e6, type: "f32", path: model });
    const cacheOptions = { chunkSize: 64, maxLocalCpuSize: "64MiB", saveDecodeCache: true };
    const shared = promptOf(200, 1);
    const prompts = [2, 3, 4, 5].map((seed) =>
      Int32Array.from([...shared, ...promptOf(100 + 30 * seed, seed)]),
    );
    const sampling = { maxTokens: 150 };
    const alone = [];
    {
      await using plain = await openEngine({ model });
      for (const prompt of prompts) alone.push(await answer(plain.engine, prompt, sampling));
    }
    const preempted: string[] = [];
    const end = subscribe("warmkv:engine:preempted", ({ id }) => preempted.push(id));
    await using crowded = await openEngine({
      model,
      maxModelLen: 1024,
      numCells: 1280,
      cacheOptions,
    });
    for (let round = 0; round < 2; round++) {
      const together = await Promise.all(
        prompts.map((prompt) => answer(crowded.engine, prompt, sampling)),
      );
      for (const [i, each] of together.entries()) expectSameUpToRounding(each, alone[i]!, ROUNDING);
      const numsCached = together.map((each) => each.numCachedTokens);
      if (round === 1) expect(numsCached).toEqual(prompts.map(({ length }) => length - 1));
    }
    end();
    expect(preempted.length).toBeGreaterThan(0);
  });
});
