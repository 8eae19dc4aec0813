import { expect, test } from "vitest";
import { estimateTokens, serverTokenCounter } from "../../../src/bench/token-counter.ts";
import { scriptedServer, sendJson } from "./scripted-server.ts";

const target = (url: string) => ({ baseUrl: `${url}/v1`, apiKey: "k", model: "m" });

test("serverTokenCounter() counts by vLLM's /tokenize, beside /v1", async () => {
  await using server = await scriptedServer(({ body }, response) =>
    sendJson(response, { count: (body["prompt"] as string).length, tokens: [] }),
  );
  const countTokens = await serverTokenCounter(target(server.url));
  expect(await countTokens!("four")).toBe(4);
  expect(server.requests.at(-1)).toMatchObject({
    path: "/tokenize",
    headers: { authorization: "Bearer k" },
    body: { model: "m", prompt: "four" },
  });
});

test("serverTokenCounter() counts by llama-server's /tokenize", async () => {
  await using server = await scriptedServer(({ body }, response) =>
    sendJson(response, { tokens: Array.from((body["content"] as string | undefined) ?? "") }),
  );
  const countTokens = await serverTokenCounter(target(server.url));
  expect(await countTokens!("four")).toBe(4);
});

test("serverTokenCounter() is undefined where there is no /tokenize", async () => {
  await using server = await scriptedServer((_, response) => sendJson(response, {}, 404));
  expect(await serverTokenCounter(target(server.url))).toBeUndefined();
});

test("estimateTokens() counts at the rate of a sample, and rounds up", async () => {
  expect(await estimateTokens("twelve chars", 3)("123456789")).toBe(3);
  expect(await estimateTokens("twelve chars", 12)("123456789")).toBe(9);
  expect(await estimateTokens("twelve chars", undefined)("123456789")).toBe(3);
});
