import OpenAI from "openai";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/core/index.ts";
import { patientFetch } from "../../../src/bench/patient-fetch.ts";
import { queryTwice, type QueryTwiceOptions } from "../../../src/bench/query-twice.ts";
import {
  completionEvent,
  DONE,
  type ScriptedServer,
  scriptedServer,
  sendEvents,
  usageEvent,
} from "./scripted-server.ts";

/** Remembers prompts, and reuses all but the last token of one it has seen. */
function cachingServer(): Promise<ScriptedServer> {
  const seen = new Set<string>();
  return scriptedServer(({ body }, response) => {
    const prompt = body["prompt"] as string;
    const usage = {
      prompt_tokens: prompt.length,
      completion_tokens: 1,
      prompt_tokens_details: { cached_tokens: seen.has(prompt) ? prompt.length - 1 : 0 },
    };
    seen.add(prompt);
    sendEvents(response, [completionEvent("x", { token: "x" }), usageEvent(usage), DONE]);
  });
}

function optionsFor(url: string): QueryTwiceOptions {
  let numHeadings = 0;
  return {
    client: new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", fetch: patientFetch, maxRetries: 0 }),
    model: "m",
    clock: systemClock,
    source: "All this time the guard was looking at her. ",
    countTokens: async (text) => text.length,
    numPromptTokens: 300,
    maxTokens: 1,
    numRounds: 3,
    numWarmRequests: 1,
    nextHeading: () => `Copy ${numHeadings++}.`,
  };
}

test("queryTwice() sends a new prompt of the wanted length twice in each round", async () => {
  await using server = await cachingServer();
  const phases: string[] = [];
  const rounds = await queryTwice({
    ...optionsFor(server.url),
    onRequest: (phase, round) => phases.push(`${phase} ${round}`),
  });
  const prompts = server.requests.map(({ body }) => body["prompt"] as string);
  expect(phases).toEqual(["cold 0", "warm 0", "cold 1", "warm 1", "cold 2", "warm 2"]);
  expect(prompts.map((prompt) => prompt.length)).toEqual(Array(6).fill(300));
  expect(prompts.map((prompt) => prompt.slice(0, 7))).toEqual([
    "Copy 0.",
    "Copy 0.",
    "Copy 1.",
    "Copy 1.",
    "Copy 2.",
    "Copy 2.",
  ]);
  expect(rounds.map(({ cold, warm }) => [cold.numCachedTokens, warm[0]!.numCachedTokens])).toEqual([
    [0, 299],
    [0, 299],
    [0, 299],
  ]);
});

test("queryTwice() sends nothing more once its signal is aborted", async () => {
  await using server = await cachingServer();
  const interruption = new AbortController();
  const running = queryTwice({
    ...optionsFor(server.url),
    signal: interruption.signal,
    onRequest: (phase) => phase === "warm" && interruption.abort(),
  });
  await expect(running).rejects.toThrow();
  expect(server.requests.length).toBe(1);
});
