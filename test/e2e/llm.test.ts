import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, LLM, UsageError } from "../../src/index.ts";

describe("LLM", () => {
  let llm: LLM;
  beforeAll(async () => {
    llm = await LLM.load("synth:1m", {
      threads: 1,
      maxModelLen: 2048,
      cache: { maxLocalCpuSize: "64MiB" },
    });
  });
  afterAll(() => llm[Symbol.asyncDispose]());

  const prompt = "The same long prompt, over and over. ".repeat(20);

  const textOf = (answer: Answer): Promise<string> => answer.text();

  it("answers a prompt twice alike, the second time from the cache", async () => {
    const cold = llm.generate(prompt, { maxTokens: 20, temperature: 0 });
    const warm = llm.generate(prompt, { maxTokens: 20, temperature: 0 });
    const text = await textOf(cold);
    expect(text).toHaveLength(20);
    expect(await textOf(warm)).toBe(text);
    expect([cold.numCachedTokens, warm.numCachedTokens]).toEqual([0, prompt.length - 1]);
    expect([warm.numTokens, warm.finishReason]).toEqual([20, "length"]);
    expect(llm.stats().cache?.tiers["LocalCPUBackend"]?.numChunks).toBeGreaterThan(0);
  });

  it("takes token ids, and gives text back for them", async () => {
    const tokens = await llm.tokenize(prompt);
    expect(llm.detokenize(tokens)).toBe(prompt);
    const options = { maxTokens: 5, temperature: 0 };
    expect(await textOf(llm.generate(tokens, options))).toBe(
      await textOf(llm.generate(prompt, options)),
    );
  });

  it("answers a conversation by the model's template", async () => {
    const answer = llm.chat([{ role: "user", content: "Hello" }], { maxTokens: 8, temperature: 0 });
    expect(await textOf(answer)).toHaveLength(8);
    const text = llm.renderChat([{ role: "user", content: "Hello" }]);
    expect(text).toContain("Hello");
    expect(await textOf(llm.generate(text, { maxTokens: 8, temperature: 0 }))).toBe(
      await textOf(answer),
    );
    const unfinished = llm.renderChat([{ role: "user", content: "Hello" }], {
      addGenerationPrompt: false,
    });
    expect(unfinished.length).toBeLessThan(text.length);
  });

  it("streams pieces of text, or steps with their tokens and probabilities", async () => {
    const options = { maxTokens: 6, temperature: 0, numLogprobs: 2 };
    let text = "";
    for await (const piece of llm.generate(prompt, options)) text += piece;
    const deltas = [];
    for await (const delta of llm.generate(prompt, options).deltas()) deltas.push(delta);
    expect(deltas.map((delta) => delta.text).join("")).toBe(text);
    expect(deltas.flatMap(({ tokens }) => tokens)).toHaveLength(6);
    const logprobs = deltas.flatMap((delta) => delta.logprobs ?? []);
    expect(logprobs.map(({ top }) => top.length)).toEqual([2, 2, 2, 2, 2, 2]);
  });

  it("takes an option that is undefined for one that was not given", async () => {
    const options = { maxTokens: 6, temperature: 0, topP: undefined, stop: undefined };
    expect(await textOf(llm.generate(prompt, options))).toHaveLength(6);
  });

  it("gives the same sample for the same seed", async () => {
    const options = { maxTokens: 12, temperature: 1, seed: 7 };
    const one = await textOf(llm.generate(prompt, options));
    expect(await textOf(llm.generate(prompt, options))).toBe(one);
    expect(await textOf(llm.generate(prompt, { ...options, seed: 8 }))).not.toBe(one);
  });

  it("ends when the reader leaves the loop or aborts", async () => {
    for await (const _ of llm.generate(prompt)) break;
    const abort = new AbortController();
    const answer = textOf(llm.generate(prompt, { signal: abort.signal }));
    abort.abort();
    await expect(answer).rejects.toThrow();
    await textOf(llm.generate("x", { maxTokens: 1 }));
    expect(llm.stats().engine).toMatchObject({ numRunning: 0, numWaiting: 0, numUsedCells: 0 });
  });

  it("refuses what cannot be in a sentence", async () => {
    const wrong = { maxTokens: [-1, 0, 1.5], temperature: [-1, "hot"], topP: [2], maxToken: [5] };
    for (const [name, values] of Object.entries(wrong)) {
      for (const value of values) {
        const answer = textOf(llm.generate("x", { [name]: value }));
        await expect(answer, `${name} ${value}`).rejects.toThrow(UsageError);
      }
    }
    for (const prompt of [5, undefined, [1, 2], {}]) {
      await expect(textOf(llm.generate(prompt as string))).rejects.toThrow(
        /^Cannot use .* as a prompt: wanted a text, or token ids in an Int32Array$/,
      );
    }
    for (const id of [-1, llm.model.vocabSize]) {
      await expect(textOf(llm.generate(Int32Array.of(65, id)))).rejects.toThrow(
        `Cannot use token id ${id}: wanted one from 0 to ${llm.model.vocabSize - 1}`,
      );
    }
    expect(() => llm.chat([])).toThrow("Cannot use an empty list as messages");
    expect(() => llm.chat("Hello" as never)).toThrow('Cannot use "Hello" as messages');
    await expect(LLM.load("no-such-file.gguf")).rejects.toThrow(UsageError);
    await expect(LLM.load(5 as never)).rejects.toThrow("Cannot use 5 as a model");
    await expect(LLM.load("synth:1m", { cahce: {} } as object)).rejects.toThrow(
      'Unknown option "cahce": wanted one of cache, ',
    );
    const misspelt = { cache: { maxLocalCpuSiz: 1 } } as object;
    await expect(LLM.load("synth:1m", misspelt)).rejects.toThrow(
      "Unknown option maxLocalCpuSiz of the cache: did you mean maxLocalCpuSize?",
    );
    await expect(LLM.load("synth:1m", { maxModelLen: 10_000_000 })).rejects.toThrow(UsageError);
    await expect(LLM.load("synth:1m", { cache: { chunkSize: -1 } })).rejects.toThrow(/chunk_size/);
    const unknown = { embeddings: "max" } as object;
    await expect(LLM.load("synth:1m", unknown)).rejects.toThrow('wanted true, false, "mean"');
    const options = { threads: 0, maxNumSeqs: 1.5, gpuLayers: "some", seed: -1, ctxSize: "big" };
    for (const [name, value] of Object.entries(options)) {
      await expect(LLM.load("synth:1m", { [name]: value }), name).rejects.toThrow(
        `Cannot use ${name} ${JSON.stringify(value)}: wanted a whole number`,
      );
    }
  });

  it("with a seed answers alike each time it is loaded", async () => {
    const answers = async (seed: number): Promise<string[]> => {
      const seeded = await LLM.load("synth:1m", {
        threads: 1,
        maxModelLen: 512,
        cache: false,
        seed,
      });
      const texts = [];
      for (let i = 0; i < 3; i++) texts.push(await textOf(seeded.generate("x", { maxTokens: 8 })));
      await seeded.close();
      return texts;
    };
    const first = await answers(1);
    expect(new Set(first).size).toBe(3);
    expect(await answers(1)).toEqual(first);
    expect(await answers(2)).not.toEqual(first);
  });
});
