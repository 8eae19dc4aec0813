import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LLM, UsageError } from "../../../src/index.ts";
import { TestServer } from "../openai/test-server.ts";
import { writeBert } from "./bert-model.ts";

const LONG_TEXT = "Some text that goes on and on. ".repeat(40);

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);
}

describe("the openai client", () => {
  let server: TestServer;
  let client: OpenAI;
  beforeAll(async () => {
    server = await TestServer.start("hermes", "--max-model-len", "2048", "--runner", "pooling");
    client = server.client();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const model = "synth:1m";

  it("gets the same vectors as base64, which it asks for, and as numbers", async () => {
    const input = ["a", "The quick brown fox"];
    const packed = await client.embeddings.create({ model, input });
    const plain = await client.embeddings.create({ model, input, encoding_format: "float" });
    expect(packed.usage).toEqual({ prompt_tokens: 20, total_tokens: 20 });
    for (const [i, { embedding, index }] of packed.data.entries()) {
      expect(index).toBe(i);
      expect(cosine(embedding, embedding)).toBeCloseTo(1, 5);
      expect(cosine(embedding, plain.data[i]!.embedding)).toBeCloseTo(1, 5);
    }
  });

  it("gets for token ids what it gets for their text", async () => {
    const text = "The quick brown fox";
    const input = [[...Buffer.from(text)]];
    const [byIds, byText] = await Promise.all([
      client.embeddings.create({ model, input }),
      client.embeddings.create({ model, input: text }),
    ]);
    expect(cosine(byIds.data[0]!.embedding, byText.data[0]!.embedding)).toBeGreaterThan(0.999);
  });

  it("gets for a text among others, and in pieces, what it gets for it alone", async () => {
    const texts = Array.from({ length: 20 }, (_, i) => `${i} ${LONG_TEXT.slice(i * 50)}`);
    const together = await client.embeddings.create({ model, input: texts });
    for (const i of [0, 7, 19]) {
      const alone = await client.embeddings.create({ model, input: texts[i]! });
      const same = cosine(alone.data[0]!.embedding, together.data[i]!.embedding);
      expect(same).toBeGreaterThan(0.999);
      const other = cosine(alone.data[0]!.embedding, together.data[(i + 1) % 20]!.embedding);
      expect(other).toBeLessThan(same);
    }
  });

  it("gets answers beside embeddings, and the same as without", async () => {
    const prompt = "Once upon a time";
    const body = { model, prompt, temperature: 0, max_tokens: 60 };
    const alone = await client.completions.create(body);
    const work = client.embeddings.create({ model, input: Array(10).fill(LONG_TEXT) });
    const beside = await client.completions.create(body);
    expect(beside.choices[0]!.text).toBe(alone.choices[0]!.text);
    expect((await work).data).toHaveLength(10);
  });

  it("is told which of its texts is too long", async () => {
    await expect(
      client.embeddings.create({ model, input: ["a", "x".repeat(2049)] }),
    ).rejects.toMatchObject({ status: 400, param: "input[1]", code: "context_length_exceeded" });
  });
});

describe("LLM.embed()", () => {
  let directory: string;
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "warmkv-bert-"));
    await writeBert(join(directory, "bert.gguf"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("works with an encoder as it is, which writes no text", async () => {
    await using llm = await LLM.load(join(directory, "bert.gguf"), { threads: 1 });
    expect(llm.model.embedding).toMatchObject({ dimensions: 128, maxTokens: 512, isAll: true });
    const texts = ["hello world", "hello word", LONG_TEXT.slice(0, 512)];
    const together = await llm.embed(texts);
    for (const [i, text] of texts.entries()) {
      const [alone] = await llm.embed([text]);
      expect(cosine(alone!, together[i]!)).toBeCloseTo(1, 4);
    }
    // The first token's vector depends on those behind it.
    expect(cosine(together[0]!, together[1]!)).toBeLessThan(0.999);
    await expect(llm.embed(["x".repeat(513)])).rejects.toThrow("wanted 1 to 512 tokens");
    await expect(llm.generate("a").text()).rejects.toThrow(UsageError);
  });

  it.each(["llama", "qwen35", "gemma3", "mamba2"])(
    "pools the vectors of a %s model as it is told",
    async (family) => {
      const { synthesizeModel } = await import("../../../src/models/index.ts");
      const path = join(directory, `${family}.gguf`);
      await synthesizeModel({ family, numParams: 500_000, path });
      const load = (embeddings: boolean | "mean" | "cls" | "last"): Promise<LLM> =>
        LLM.load(path, { threads: 1, maxModelLen: 1024, cache: false, embeddings });
      const text = LONG_TEXT.slice(0, 600);
      const embed = async (pooling: "mean" | "cls" | "last", input: string) => {
        await using llm = await load(pooling);
        return (await llm.embed([input, "another text"]))[0]!;
      };
      const [mean, cls, last] = [
        await embed("mean", text),
        await embed("cls", text),
        await embed("last", text),
      ];
      for (const [a, b] of [
        [mean, cls],
        [cls, last],
        [mean, last],
      ] as const) {
        expect(cosine(a, b)).toBeLessThan(0.99);
      }
      // The first token of a decoder knows of nothing but itself.
      expect(cosine(cls, await embed("mean", text.slice(0, 1)))).toBeGreaterThan(0.99);
      await using llm = await load(false);
      expect(llm.model.embedding).toBeUndefined();
      await expect(llm.embed([text])).rejects.toThrow(UsageError);
    },
  );
});
