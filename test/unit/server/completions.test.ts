import type { GenerateRequest } from "../../../src/engine/engine.ts";
import { describe, expect, it } from "vitest";
import { BOS } from "./fake-engine.ts";
import { post, postJson, readEvents, testApp } from "./requests.ts";

const PATH = "/v1/completions";

describe("POST /v1/completions", () => {
  it("answers in OpenAI's shape", async () => {
    const { app } = testApp({ numCachedTokens: 3 });
    const response = await post(app, PATH, { model: "fake", prompt: "abc" });
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^cmpl-[0-9a-f]{32}$/),
      object: "text_completion",
      created: 1_700_000_000,
      model: "fake",
      choices: [{ index: 0, text: "ABC", logprobs: null, finish_reason: "stop" }],
      usage: {
        prompt_tokens: 4,
        completion_tokens: 4,
        total_tokens: 8,
        prompt_tokens_details: { cached_tokens: 3 },
      },
    });
  });

  it("ends with the reason length at max_tokens, which is 16 by default", async () => {
    const { app } = testApp({ reply: () => "x".repeat(100) });
    const byDefault = await postJson(app, PATH, { prompt: "a" });
    expect(byDefault.choices[0]).toMatchObject({ text: "x".repeat(16), finish_reason: "length" });
    const three = await postJson(app, PATH, { prompt: "a", max_tokens: 3 });
    expect(three.choices[0]).toMatchObject({ text: "xxx", finish_reason: "length" });
  });

  it("takes token ids as they are", async () => {
    const { app, engine } = testApp();
    const body = await postJson(app, PATH, { prompt: [104, 105] });
    expect(body.choices[0].text).toBe("HI");
    expect(Array.from(engine.requests[0]!.promptTokens)).toEqual([104, 105]);
  });

  it("answers several prompts with n answers each, in order", async () => {
    const { app, engine } = testApp({ numCachedTokens: 1 });
    const body = await postJson(app, PATH, { prompt: ["ab", "c"], n: 2, seed: 7 });
    expect(body.choices.map((choice: { text: string }) => choice.text)).toEqual([
      "AB",
      "AB",
      "C",
      "C",
    ]);
    expect(body.choices.map((choice: { index: number }) => choice.index)).toEqual([0, 1, 2, 3]);
    expect(body.usage).toEqual({
      prompt_tokens: 5,
      completion_tokens: 10,
      total_tokens: 15,
      prompt_tokens_details: { cached_tokens: 2 },
    });
    expect(engine.requests.map((request) => request.sampling.seed)).toEqual([7, 8, 7, 8]);
    expect(new Set(engine.requests.map((request) => request.id)).size).toBe(4);
  });

  it("takes lists of token ids", async () => {
    const { app } = testApp();
    const body = await postJson(app, PATH, { prompt: [[97], [98, 99]] });
    expect(body.choices.map((choice: { text: string }) => choice.text)).toEqual(["A", "BC"]);
  });

  it("echoes the prompt, text or tokens", async () => {
    const { app } = testApp();
    expect((await postJson(app, PATH, { prompt: "ab", echo: true })).choices[0].text).toBe("abAB");
    const tokens = await postJson(app, PATH, { prompt: [97, 98], echo: true });
    expect(tokens.choices[0].text).toBe("abAB");
  });

  it("reports log probabilities as four lists, -Infinity as -9999", async () => {
    const { app } = testApp();
    const body = await postJson(app, PATH, { prompt: "ab", logprobs: 2 });
    expect(body.choices[0].logprobs).toEqual({
      tokens: ["A", "B", ""],
      token_logprobs: [-0.5, -0.5, -0.5],
      top_logprobs: [
        { A: -0.5, A1: -9999 },
        { B: -0.5, B1: -9999 },
        { "": -0.5, "1": -9999 },
      ],
      text_offset: [0, 1, 2],
    });
  });

  it("passes every sampling field on to the engine", async () => {
    const { app, engine } = testApp();
    await postJson(app, PATH, {
      prompt: "a",
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      min_p: 0.1,
      presence_penalty: 0.2,
      frequency_penalty: -0.3,
      repetition_penalty: 1.1,
      logit_bias: { "5": -100, "6": 2.5 },
      seed: -1,
      max_tokens: 9,
      min_tokens: 2,
      stop: "zz",
      stop_token_ids: [3],
      ignore_eos: true,
      include_stop_str_in_output: true,
      bad_words: ["no"],
      allowed_token_ids: [97, 98],
      cache_salt: "tenant",
      kv_transfer_params: { "lmcache.skip_save": true },
      priority: -2,
      request_id: "mine",
    });
    expect(engine.requests[0]).toMatchObject({
      id: expect.stringMatching(/^cmpl-mine-[0-9a-f]{8}$/),
      cacheSalt: "tenant",
      kvTransferParams: { "lmcache.skip_save": true },
      priority: -2,
      sampling: {
        temperature: 0.5,
        topP: 0.9,
        topK: 40,
        minP: 0.1,
        presencePenalty: 0.2,
        frequencyPenalty: -0.3,
        repetitionPenalty: 1.1,
        logitBias: new Map([
          [5, -100],
          [6, 2.5],
        ]),
        seed: 2 ** 32 - 2,
        maxTokens: 9,
        minTokens: 2,
        stop: ["zz"],
        stopTokenIds: [3],
        ignoreEos: true,
        includesStop: true,
        bannedSequences: [Int32Array.from(Buffer.from("no")), Int32Array.from(Buffer.from(" no"))],
        allowedTokens: Int32Array.of(97, 98),
        numLogprobs: undefined,
        grammar: undefined,
      },
    });
  });

  it.each([
    [{ prompt: "abcd", truncate_prompt_tokens: 3 }, [BOS, 99, 100]],
    [{ prompt: "abcd", truncate_prompt_tokens: 1 }, [100]],
    [{ prompt: "abcd", truncate_prompt_tokens: 9 }, [BOS, 97, 98, 99, 100]],
    [{ prompt: [97, 98, 99], truncate_prompt_tokens: 2 }, [98, 99]],
    [{ prompt: "ab".repeat(3000), truncate_prompt_tokens: -1, max_tokens: 4093 }, [BOS, 97, 98]],
  ])("%j runs the end of a prompt", async (body, tokens) => {
    const { app, engine } = testApp();
    await postJson(app, PATH, body);
    expect(Array.from(engine.requests[0]!.promptTokens)).toEqual(tokens);
  });

  it("tells token ids, whole and in a stream", async () => {
    const { app } = testApp();
    const body = { prompt: "ab", return_token_ids: true, max_tokens: 2, n: 2 };
    const ids = { prompt_token_ids: [BOS, 97, 98] };
    const { choices } = await postJson(app, PATH, body);
    expect(choices).toMatchObject([
      { ...ids, token_ids: [65, 66] },
      { ...ids, token_ids: [65, 66] },
    ]);
    const events = await readEvents(await post(app, PATH, { ...body, stream: true, n: 1 }));
    expect(events.slice(0, -1).map(({ choices: [choice] }) => choice)).toMatchObject([
      ids,
      { token_ids: [65] },
      { token_ids: [66] },
    ]);
  });

  it("names tokens by their ids in log probabilities", async () => {
    const { app } = testApp();
    const body = { prompt: "a", logprobs: 1, max_tokens: 1, return_tokens_as_token_ids: true };
    const { choices } = await postJson(app, PATH, body);
    expect(choices[0].logprobs).toMatchObject({
      tokens: ["token_id:65"],
      top_logprobs: [{ "token_id:65": -0.5 }],
    });
  });

  it("names what stopped the answer", async () => {
    const { app } = testApp();
    const { choices } = await postJson(app, PATH, { prompt: "abc", stop: ["x", "C"] });
    expect(choices[0]).toMatchObject({ finish_reason: "stop", stop_reason: "C" });
  });

  it("puts no BOS in front of a text when add_special_tokens is false", async () => {
    const { app, engine } = testApp();
    await postJson(app, PATH, { prompt: "a", add_special_tokens: false });
    expect(Array.from(engine.requests[0]!.promptTokens)).toEqual([97]);
  });

  it("takes the id from X-Request-Id and answers with it", async () => {
    const { app } = testApp();
    const response = await post(app, PATH, { prompt: "a" }, { "x-request-id": "abc-1" });
    expect(response.headers.get("x-request-id")).toBe("abc-1");
    expect(((await response.json()) as { id: string }).id).toBe("cmpl-abc-1");
  });

  it("gives the engine different ids where two clients send the same", async () => {
    const { app, engine } = testApp();
    for (let i = 0; i < 2; i++) await post(app, PATH, { prompt: "a", request_id: "same" });
    expect(engine.requests[0]!.id).not.toBe(engine.requests[1]!.id);
  });

  it("does not take an id that could forge a log line", async () => {
    const { app } = testApp();
    const response = await post(app, PATH, { prompt: "a" }, { "x-request-id": "a b" });
    expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
  });

  it("streams chunks and then [DONE]", async () => {
    const { app } = testApp();
    const response = await post(app, PATH, { prompt: "ab", stream: true });
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const events = await readEvents(response);
    const chunk = (text: string, finish_reason: string | null): object => ({
      id: events[0].id,
      object: "text_completion",
      created: 1_700_000_000,
      model: "fake",
      choices: [{ index: 0, text, logprobs: null, finish_reason }],
    });
    expect(events).toEqual([chunk("A", null), chunk("B", null), chunk("", "stop"), "[DONE]"]);
  });

  it("streams the echo first and the usage last", async () => {
    const { app } = testApp({ numCachedTokens: 2 });
    const events = await readEvents(
      await post(app, PATH, {
        prompt: "ab",
        echo: true,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    expect(events[0]).toMatchObject({ choices: [{ text: "ab" }], usage: null });
    expect(events.at(-2)).toMatchObject({
      choices: [],
      usage: {
        prompt_tokens: 3,
        completion_tokens: 3,
        prompt_tokens_details: { cached_tokens: 2 },
      },
    });
    expect(events.at(-1)).toBe("[DONE]");
  });

  it("streams the usage so far when continuous_usage_stats asks for it", async () => {
    const { app } = testApp();
    const options = { include_usage: true, continuous_usage_stats: true };
    const events = await readEvents(
      await post(app, PATH, { prompt: "ab", stream: true, stream_options: options }),
    );
    expect(events.slice(0, 4).map((event) => event.usage.completion_tokens)).toEqual([1, 2, 3, 3]);
  });

  it("streams several choices under their indices", async () => {
    const { app } = testApp();
    const events = await readEvents(
      await post(app, PATH, { prompt: ["ab", "cd"], n: 2, stream: true }),
    );
    const texts = ["", "", "", ""];
    for (const event of events.slice(0, -1)) {
      const [{ index, text }] = event.choices;
      texts[index] += text;
    }
    expect(texts).toEqual(["AB", "AB", "CD", "CD"]);
  });

  it("streams log probabilities with offsets that go on", async () => {
    const { app } = testApp();
    const events = await readEvents(
      await post(app, PATH, { prompt: "ab", stream: true, logprobs: 0 }),
    );
    const offsets = events.slice(0, -1).map((event) => event.choices[0].logprobs.text_offset);
    expect(offsets).toEqual([[0], [1], [2]]);
  });

  it("gives the likeliest of the answers that best_of asks for", async () => {
    const { app, engine } = testApp({
      reply: (_, request) => ["bad", "ok", "fine"][Number(request.id.at(-1))]!,
      logprobOf: (text) => (text === "" ? -0.5 : ({ b: -9, o: -2, f: -1 }[text] ?? -0.5)),
    });
    const body = { prompt: "x", n: 2, best_of: 3 };
    const { choices, usage } = await postJson(app, PATH, body);
    expect(choices.map((choice: { text: string }) => choice.text)).toEqual(["fine", "ok"]);
    expect(choices[0].logprobs).toBeNull();
    expect(usage.completion_tokens).toBe("bad".length + "ok".length + "fine".length + 3);
    expect(engine.requests).toHaveLength(3);
  });

  it("has the engine score the prompt where echo and logprobs ask for it", async () => {
    const { app, engine } = testApp();
    const body = await postJson(app, PATH, {
      prompt: "abc",
      echo: true,
      logprobs: 0,
      max_tokens: 2,
    });
    const [{ promptTokens, sampling }] = engine.requests as [GenerateRequest];
    expect([...promptTokens]).toEqual([256, 97, 98, 99]);
    expect(sampling).toMatchObject({ numPromptLogprobs: 0, maxTokens: 2 });
    expect(body.choices[0].logprobs.tokens).toEqual(["", "a", "b", "c", "A", "B"]);
    expect(body.choices[0].text.startsWith("abc")).toBe(true);
    expect(body.choices[0].logprobs.token_logprobs[0]).toBeNull();
    expect(body.usage.prompt_tokens).toBe(4);
  });

  it("tells what was likely at each token of the prompt", async () => {
    const { app } = testApp();
    const body = { prompt: "ab", prompt_logprobs: 2, max_tokens: 1 };
    const { choices } = await postJson(app, PATH, body);
    expect(choices[0].prompt_logprobs).toEqual([
      null,
      {
        97: { logprob: -2, rank: 3, decoded_token: "a" },
        98: { logprob: -0.5, rank: 1, decoded_token: "b" },
      },
      {
        98: { logprob: -2, rank: 3, decoded_token: "b" },
        99: { logprob: -0.5, rank: 1, decoded_token: "c" },
      },
    ]);
    expect(choices[0].logprobs).toBeNull();
    const streamed = await post(app, PATH, { ...body, stream: true });
    expect(await streamed.json()).toMatchObject({ error: { param: "prompt_logprobs" } });
  });

  it("scores the prompt and gives no answer where max_tokens is 0", async () => {
    const { app, engine } = testApp();
    const body = { prompt: "ab", echo: true, logprobs: 0, max_tokens: 0 };
    const { choices, usage } = await postJson(app, PATH, body);
    expect(engine.requests[0]!.sampling.maxTokens).toBe(1);
    expect(choices[0]).toMatchObject({ text: "ab", logprobs: { tokens: ["", "a", "b"] } });
    expect(usage.completion_tokens).toBe(0);
  });

  it("asks the engine for nothing where max_tokens is 0", async () => {
    const { app, engine } = testApp();
    const body = await postJson(app, PATH, { prompt: "abc", echo: true, max_tokens: 0 });
    expect(body.choices).toEqual([
      { index: 0, text: "abc", logprobs: null, finish_reason: "length" },
    ]);
    expect(engine.requests).toEqual([]);
  });
});
