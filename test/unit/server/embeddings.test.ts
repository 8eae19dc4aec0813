import { describe, expect, it } from "vitest";
import { embeddingList } from "../openai/published-schema.ts";
import { gate } from "./fake-engine.ts";
import { type TestApp, post, postJson, testApp } from "./requests.ts";

const info = { dimensions: 2, maxTokens: 20, isAll: false };
const path = "/v1/embeddings";

function embeddingApp(options: Parameters<typeof testApp>[0] = {}): TestApp {
  return testApp({ ...options, model: { addsBos: false, embedding: info } });
}

describe("POST /v1/embeddings", () => {
  it("takes a text, texts, token ids and lists of token ids", async () => {
    const { app } = embeddingApp();
    const ask = async (input: unknown): Promise<unknown> => {
      const answer = await postJson(app, path, { input, model: "fake" });
      embeddingList.parse(answer);
      return answer.data.map((item: { embedding: number[] }) => item.embedding);
    };
    expect(await ask("abc")).toEqual([[97, 3]]);
    expect(await ask(["abc", "d"])).toEqual([
      [97, 3],
      [100, 1],
    ]);
    expect(await ask([97, 98])).toEqual([[97, 2]]);
    expect(await ask([[97], [98, 99]])).toEqual([
      [97, 1],
      [98, 2],
    ]);
  });

  it("counts tokens and names the model", async () => {
    const answer = await postJson(embeddingApp().app, path, { input: ["abc", "d"] });
    expect(answer).toMatchObject({
      model: "fake",
      usage: { prompt_tokens: 4, total_tokens: 4 },
    });
  });

  it("encodes as base64", async () => {
    const { app } = embeddingApp();
    const answer = await postJson(app, path, { input: "abc", encoding_format: "base64" });
    const bytes = Buffer.from(answer.data[0].embedding as string, "base64");
    expect([bytes.readFloatLE(0), bytes.readFloatLE(4)]).toEqual([97, 3]);
  });

  it.each([
    [{}, "input"],
    [{ input: [] }, "input"],
    [{ input: "" }, "input"],
    [{ input: ["a", ""] }, "input[1]"],
    [{ input: [1.5] }, "input[0]"],
    [{ input: [300] }, "input"],
    [{ input: [[97], [300]] }, "input[1]"],
    [{ input: "x".repeat(21) }, "input"],
    [{ input: ["a", "x".repeat(21)] }, "input[1]"],
    [{ input: Array.from({ length: 2049 }, () => "a") }, "input"],
    [{ input: "a", dimensions: 3 }, "dimensions"],
    [{ input: "a", dimensions: 0 }, "dimensions"],
    [{ input: "a", encoding_format: "int8" }, "encoding_format"],
    [{ input: "a", temperature: 1 }, "temperature"],
  ])("refuses %j and names the field", async (body, param) => {
    const response = await post(embeddingApp().app, path, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });

  it("keeps the end of a text that is to be cut", async () => {
    const input = ["abc", [97, 98], "x".repeat(25)];
    const ask = async (count: number): Promise<number[][]> => {
      const body = { input, truncate_prompt_tokens: count };
      const { data } = await postJson(embeddingApp().app, path, body);
      return data.map((item: { embedding: number[] }) => item.embedding);
    };
    expect(await ask(1)).toEqual([
      [99, 1],
      [98, 1],
      [120, 1],
    ]);
    expect(await ask(-1)).toEqual([
      [97, 3],
      [97, 2],
      [120, 20],
    ]);
  });

  it("takes the model's own dimensions", async () => {
    const response = await post(embeddingApp().app, path, { input: "a", dimensions: 2 });
    expect(response.status).toBe(200);
  });

  it("names the flag when the model makes none", async () => {
    const response = await post(testApp().app, path, { input: "a", model: "fake" });
    expect(response.status).toBe(400);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error.code).toBe("embeddings_not_supported");
    expect(error.message).toContain("--embeddings");
  });

  it("gives up after the time that the client sets", async () => {
    const { app } = embeddingApp({ beforeEmbedding: () => gate().opened });
    const response = await post(app, path, { input: "a" }, { "x-request-timeout": "0.01" });
    expect(response.status).toBe(408);
  });
});
