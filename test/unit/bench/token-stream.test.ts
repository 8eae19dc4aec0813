import { expect, test } from "vitest";
import { RefusedError, streamTokens, toTokenStream } from "../../../src/bench/token-stream.ts";
import type { TimedEvent } from "../../../src/bench/event-log.ts";
import { systemClock } from "../../../src/core/index.ts";
import { completionEvent, DONE, scriptedServer, sendEvents, sendJson } from "./scripted-server.ts";

/** One event each millisecond, from 101 on. */
function timed(...events: object[]): TimedEvent[] {
  return events.map((event, index) => ({ data: JSON.stringify(event), atMs: 101 + index }));
}

function token(text: string, finish_reason: string | null = null): object {
  return { choices: [{ index: 0, text, finish_reason }] };
}

test("the events of our own streams: a token each, the last with the reason, then the usage", () => {
  const usage = {
    prompt_tokens: 7,
    completion_tokens: 2,
    prompt_tokens_details: { cached_tokens: 3 },
  };
  expect(
    toTokenStream(100, timed(token("a"), token("b", "length"), { choices: [], usage })),
  ).toEqual({
    sentMs: 100,
    arrivalsMs: [101, 102],
    numTokens: 2,
    numPromptTokens: 7,
    numCachedTokens: 3,
  });
});

test("llama-server's last event has no token", () => {
  const last = {
    ...token("", "length"),
    usage: { prompt_tokens: 7, completion_tokens: 2 },
    timings: { cache_n: 1 },
  };
  expect(toTokenStream(100, timed(token("a"), token("b"), last))).toMatchObject({
    arrivalsMs: [101, 102],
    numTokens: 2,
    numCachedTokens: 1,
  });
});

test("events with several tokens count as the usage says, others one each", () => {
  const usage = { prompt_tokens: 7, completion_tokens: 5 };
  const events = [token("a"), token(""), token("bcd", "stop")];
  expect(toTokenStream(0, timed(...events, { choices: [], usage })).numTokens).toBe(5);
  expect(toTokenStream(0, timed(...events))).toMatchObject({
    numTokens: 3,
    numPromptTokens: undefined,
    numCachedTokens: undefined,
  });
});

test("a stream without a token, or with an error in it, is no measurement", () => {
  expect(() => toTokenStream(0, timed({ choices: [] }))).toThrow("without a token");
  expect(() => toTokenStream(0, timed(token("a"), { error: { message: "no room" } }))).toThrow(
    "no room",
  );
});

test("streamTokens() sends the body with the key and times what comes", async () => {
  await using server = await scriptedServer((_, response) =>
    sendEvents(response, [completionEvent("a"), completionEvent("b"), DONE]),
  );
  const stream = await streamTokens(
    { baseUrl: `${server.url}/v1`, apiKey: "secret", body: { prompt: "é" } },
    systemClock,
  );
  expect(stream.arrivalsMs).toHaveLength(2);
  expect(stream.arrivalsMs[0]).toBeGreaterThanOrEqual(stream.sentMs);
  expect(server.requests[0]).toMatchObject({
    path: "/v1/completions",
    headers: { authorization: "Bearer secret" },
    body: { prompt: "é" },
  });
});

test("streamTokens() gives the server's own words when it refuses", async () => {
  await using server = await scriptedServer((_, response) =>
    sendJson(response, { error: { message: "unknown field" } }, 400),
  );
  const request = { baseUrl: server.url, apiKey: "k", body: {} };
  const error: unknown = await streamTokens(request, systemClock).catch((e: unknown) => e);
  expect(error).toBeInstanceOf(RefusedError);
  expect(error).toMatchObject({ status: 400 });
  expect(String(error)).toContain("unknown field");
});

test("streamTokens() ends when its signal is aborted", async () => {
  const interruption = new AbortController();
  await using server = await scriptedServer(() => interruption.abort(new Error("Interrupted")));
  const request = { baseUrl: server.url, apiKey: "k", body: {} };
  await expect(streamTokens(request, systemClock, interruption.signal)).rejects.toThrow("aborted");
});

test("streamTokens() fails when the connection breaks in the middle", async () => {
  await using server = await scriptedServer((_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(completionEvent("a"), () => response.destroy());
  });
  const request = { baseUrl: server.url, apiKey: "k", body: {} };
  await expect(streamTokens(request, systemClock)).rejects.toThrow("aborted");
});
