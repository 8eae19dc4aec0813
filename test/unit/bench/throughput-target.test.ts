import { expect, test } from "vitest";
import type { BenchServer } from "../../../src/bench/bench-server.ts";
import { ThroughputTarget } from "../../../src/bench/throughput-target.ts";
import { systemClock } from "../../../src/core/index.ts";
import {
  completionEvent,
  DONE,
  scriptedServer,
  sendEvents,
  sendJson,
  usageEvent,
} from "./scripted-server.ts";

function targetOf(url: string): ThroughputTarget {
  const server: Partial<BenchServer> = { baseUrl: `${url}/v1`, apiKey: "k", model: "m" };
  return new ThroughputTarget(server as BenchServer, systemClock, new AbortController().signal);
}

const PROMPT = { text: "Once upon a time", numTokens: 4 };

test("greet() leaves out fields that a server refuses, and keeps doing so", async () => {
  await using server = await scriptedServer(({ body }, response) => {
    if ("ignore_eos" in body) sendJson(response, { error: "ignore_eos?" }, 422);
    else if ("stream_options" in body) sendJson(response, { error: "stream_options?" }, 400);
    else sendEvents(response, [completionEvent("a"), completionEvent("b"), DONE]);
  });
  const target = targetOf(server.url);
  await target.greet("Hello");
  await target.decode([PROMPT], 2);
  expect(server.requests).toHaveLength(4);
  expect(server.requests[3]!.body).toEqual({
    model: "m",
    prompt: PROMPT.text,
    max_tokens: 2,
    temperature: 0,
    stream: true,
  });
});

test("greet() passes on what is no matter of fields", async () => {
  await using server = await scriptedServer((_, response) =>
    sendJson(response, { error: "who are you?" }, 401),
  );
  await expect(targetOf(server.url).greet("Hello")).rejects.toThrow("answered 401");
  expect(server.requests).toHaveLength(1);
});

test("decode() asks for all answers at once and tells of the shortest", async () => {
  const waiting: (() => void)[] = [];
  await using server = await scriptedServer(({ body }, response) => {
    const isShort = body["prompt"] === "short";
    waiting.push(() =>
      sendEvents(response, [
        completionEvent("a"),
        ...(isShort ? [] : [completionEvent("b")]),
        DONE,
      ]),
    );
    if (waiting.length === 3) for (const answer of waiting) answer();
  });
  const prompts = ["one", "two", "short"].map((text) => ({ text, numTokens: 1 }));
  const sample = await targetOf(server.url).decode(prompts, 2);
  expect(sample.numTokens).toBe(1);
  expect(sample.wholeTokensPerSecond).toBeGreaterThan(0);
  expect(server.requests[0]!.body).toMatchObject({ ignore_eos: true, max_tokens: 2 });
});

test("decode() gives up the other clients when one fails", async () => {
  const left: string[] = [];
  await using server = await scriptedServer(({ body }, response) => {
    const prompt = String(body["prompt"]);
    if (prompt === "bad") return sendJson(response, { error: "overloaded" }, 503);
    response.writeHead(200).write(completionEvent("a"));
    response.on("close", () => left.push(prompt));
  });
  const prompts = ["one", "bad"].map((text) => ({ text, numTokens: 1 }));
  await expect(targetOf(server.url).decode(prompts, 2)).rejects.toThrow("overloaded");
  await expect.poll(() => left).toEqual(["one"]);
});

test("prefill() counts what was computed, by the server's own count", async () => {
  const usage = {
    prompt_tokens: 1000,
    completion_tokens: 1,
    prompt_tokens_details: { cached_tokens: 400 },
  };
  await using server = await scriptedServer((_, response) =>
    sendEvents(response, [completionEvent("a"), usageEvent(usage), DONE]),
  );
  const sample = await targetOf(server.url).prefill(PROMPT);
  expect(sample).toMatchObject({ numPromptTokens: 1000, numCachedTokens: 400 });
  expect(sample.tokensPerSecond).toBeCloseTo((600 / sample.ttftMs) * 1000);
  expect(server.requests[0]!.body).toMatchObject({ max_tokens: 1, prompt: PROMPT.text });
});

test("prefill() takes its own count where the server gives none", async () => {
  await using server = await scriptedServer((_, response) =>
    sendEvents(response, [completionEvent("a"), DONE]),
  );
  expect(await targetOf(server.url).prefill(PROMPT)).toMatchObject({
    numPromptTokens: 4,
    numCachedTokens: undefined,
  });
});
