import OpenAI from "openai";
import { expect, test } from "vitest";
import type { Clock } from "../../../src/core/index.ts";
import { timeCompletion } from "../../../src/bench/openai-timing.ts";
import { patientFetch } from "../../../src/bench/patient-fetch.ts";
import {
  completionEvent,
  DONE,
  scriptedServer,
  sendEvents,
  sendJson,
  usageEvent,
} from "./scripted-server.ts";

const REQUEST = { model: "m", prompt: "Once upon a time", maxTokens: 3 };

/** Every look at it advances it as the script says. */
function scriptedClock(...times: number[]): Clock {
  return { nowMs: () => times.shift() ?? Number.NaN, wallMs: () => 0 };
}

function clientOf(url: string): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", fetch: patientFetch, maxRetries: 0 });
}

test("timeCompletion() times each chunk that carries a choice, an empty text included", async () => {
  await using server = await scriptedServer((_, response) =>
    sendEvents(response, [
      completionEvent("", { token: "bytes:\\xe2" }),
      completionEvent("a", { token: "a" }),
      completionEvent("b", { finish_reason: "length", token: "b" }),
      usageEvent({
        prompt_tokens: 7,
        completion_tokens: 3,
        prompt_tokens_details: { cached_tokens: 6 },
      }),
      DONE,
    ]),
  );
  const timing = await timeCompletion(
    clientOf(server.url),
    REQUEST,
    scriptedClock(100, 350, 370, 400, 410),
  );
  expect(timing).toEqual({
    ttftMs: 250,
    wireTtftMs: expect.any(Number) as number,
    totalMs: 310,
    interTokenMs: [20, 30],
    text: "ab",
    tokenTexts: ["bytes:\\xe2", "a", "b"],
    finishReason: "length",
    numPromptTokens: 7,
    numCachedTokens: 6,
    numCompletionTokens: 3,
  });
  expect(server.requests[0]).toMatchObject({
    path: "/v1/completions",
    headers: { authorization: "Bearer k" },
    body: { model: "m", prompt: "Once upon a time", max_tokens: 3, temperature: 0, stream: true },
  });
});

test("timeCompletion() reads events that arrive in odd pieces, with comments between", async () => {
  const whole = `: ping\n\n${completionEvent("über")}${completionEvent("!")}${DONE}`;
  await using server = await scriptedServer((_, response) =>
    sendEvents(response, whole.split(/(?<=ü|text)/)),
  );
  const timing = await timeCompletion(clientOf(server.url), REQUEST, scriptedClock(0, 5, 9, 9));
  expect(timing.text).toBe("über!");
  expect(timing.interTokenMs).toEqual([4]);
});

test("timeCompletion() takes the hit tokens of llama-server's timings where the usage has none", async () => {
  await using server = await scriptedServer((_, response) => {
    const last = { choices: [], usage: { prompt_tokens: 9 }, timings: { cache_n: 8 } };
    sendEvents(response, [completionEvent("a"), `data: ${JSON.stringify(last)}\n\n`, DONE]);
  });
  const timing = await timeCompletion(clientOf(server.url), REQUEST, scriptedClock(0, 1, 2));
  expect(timing).toMatchObject({ numPromptTokens: 9, numCachedTokens: 8 });
});

test("timeCompletion() leaves counts undefined that a server does not report", async () => {
  await using server = await scriptedServer((_, response) =>
    sendEvents(response, [completionEvent("a"), DONE]),
  );
  const timing = await timeCompletion(clientOf(server.url), REQUEST, scriptedClock(0, 1, 2));
  expect(timing).toMatchObject({ numPromptTokens: undefined, numCachedTokens: undefined });
});

test("timeCompletion() throws when the stream ends without a token", async () => {
  await using server = await scriptedServer((_, response) => sendEvents(response, [DONE]));
  await expect(timeCompletion(clientOf(server.url), REQUEST, scriptedClock(0, 1))).rejects.toThrow(
    "without a token",
  );
});

test("timeCompletion() passes on what a server refuses", async () => {
  await using server = await scriptedServer((_, response) =>
    sendJson(
      response,
      { error: { message: "the prompt is too long", type: "invalid_request_error" } },
      400,
    ),
  );
  await expect(timeCompletion(clientOf(server.url), REQUEST, scriptedClock(0, 1))).rejects.toThrow(
    "the prompt is too long",
  );
});

test("timeCompletion() ends when its signal is aborted between two tokens", async () => {
  const interruption = new AbortController();
  await using server = await scriptedServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(completionEvent("a"));
  });
  const clock = {
    nowMs: () => 0,
    wallMs: () => 0,
  };
  const client = clientOf(server.url);
  const timing = timeCompletion(client, REQUEST, clock, interruption.signal);
  await expect.poll(() => server.requests.length).toBe(1);
  interruption.abort();
  await expect(timing).rejects.toThrow();
});
