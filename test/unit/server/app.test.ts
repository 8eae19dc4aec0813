import { describe, expect, it, vi } from "vitest";
import { QueueFullError } from "../../../src/engine/engine.ts";
import { gate } from "./fake-engine.ts";
import { post, postJson, readEvents, testApp } from "./requests.ts";

describe("createApp()", () => {
  it("GET /health and requests are a 503 once the model has stopped", async () => {
    const { app, engine } = testApp();
    engine.failure = new Error("The model's thread ended with 1");
    for (const response of [
      await app.request("/health"),
      await post(app, "/v1/completions", { prompt: "a" }),
    ]) {
      expect(response.status).toBe(503);
      expect(await response.text()).toContain("ended with 1");
    }
  });

  it("GET /health is an empty 200", async () => {
    const response = await testApp().app.request("/health");
    expect([response.status, await response.text()]).toEqual([200, ""]);
  });

  it.each(["GET", "POST"])("%s /ping is the same", async (method) => {
    const { app, engine } = testApp();
    expect((await app.request("/ping", { method })).status).toBe(200);
    engine.failure = new Error("gone");
    expect((await app.request("/ping", { method })).status).toBe(503);
  });

  it("GET /load counts the requests that are here", async () => {
    const { opened, open } = gate();
    const { app } = testApp({ beforeDelta: () => opened });
    const answered = post(app, "/v1/completions", { prompt: "a", n: 3 });
    await vi.waitFor(async () => {
      expect(await (await app.request("/load")).json()).toEqual({ server_load: 3 });
    });
    open();
    await answered;
    expect(await (await app.request("/load")).json()).toEqual({ server_load: 0 });
  });

  it("POST /reset_prefix_cache forgets what the engine itself holds", async () => {
    const { app, engine } = testApp();
    const reset = vi.spyOn(engine, "resetPrefixCache");
    expect((await app.request("/reset_prefix_cache", { method: "POST" })).status).toBe(200);
    expect(reset).toHaveBeenCalledOnce();
  });

  it("GET /version tells the version", async () => {
    const response = await testApp().app.request("/version");
    expect(await response.json()).toEqual({ version: "1.2.3" });
  });

  it("GET /metrics answers what the source renders, and is not there without one", async () => {
    const metrics = { contentType: "text/plain; version=0.0.4", render: async () => "a 1\n" };
    const response = await testApp({}, { metrics }).app.request("/metrics");
    expect(response.headers.get("content-type")).toBe(metrics.contentType);
    expect(await response.text()).toBe("a 1\n");
    expect((await testApp().app.request("/metrics")).status).toBe(404);
  });

  it("GET /v1/models lists every served name", async () => {
    const card = (id: string): object => ({
      id,
      object: "model",
      created: 1_700_000_000,
      owned_by: "warmkv",
      root: "fake.gguf",
      parent: null,
      max_model_len: 4096,
    });
    const { app } = testApp();
    const list = await (await app.request("/v1/models")).json();
    expect(list).toEqual({ object: "list", data: [card("fake"), card("org/fake")] });
    expect(await (await app.request("/v1/models/org%2Ffake")).json()).toEqual(card("org/fake"));
    expect((await app.request("/v1/models/gpt-4")).status).toBe(404);
  });

  it.each([
    ["/nothing", "GET", 404, "not_found"],
    ["/v1/completions", "GET", 405, "method_not_allowed"],
    ["/v1/models", "POST", 405, "method_not_allowed"],
    ["/health", "DELETE", 405, "method_not_allowed"],
  ])("%s by %s is a %i in OpenAI's shape", async (path, method, status, code) => {
    const response = await testApp().app.request(path, { method });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code, message: expect.any(String) } });
  });

  it("is a 404 for a model that is not served", async () => {
    const { app } = testApp();
    for (const path of ["/v1/completions", "/v1/chat/completions"]) {
      const input = { prompt: "a", messages: [{ role: "user", content: "a" }] };
      const { messages, prompt } = input;
      const body = path.includes("chat") ? { messages } : { prompt };
      const response = await post(app, path, { model: "gpt-4", ...body });
      expect(response.status).toBe(404);
      expect(await response.json()).toEqual({
        error: {
          message: "The model `gpt-4` does not exist.",
          type: "invalid_request_error",
          param: "model",
          code: "model_not_found",
        },
      });
    }
  });

  it.each([false, true])(
    "is a 429 with Retry-After when the queue is full (stream: %s)",
    async (stream) => {
      const { app } = testApp({
        beforeDelta: () => Promise.reject(new QueueFullError("256 requests are waiting already")),
      });
      const response = await post(app, "/v1/completions", { prompt: "a", stream });
      expect(response.status).toBe(429);
      expect(response.headers.get("retry-after")).toBe("1");
      expect(await response.json()).toMatchObject({
        error: { message: "256 requests are waiting already", code: "queue_full" },
      });
    },
  );

  it.each([false, true])(
    "is a 500 that tells nothing when the engine fails (stream: %s)",
    async (stream) => {
      const error = vi.fn();
      const logger = { debug() {}, info() {}, warn() {}, error };
      const { app } = testApp(
        { beforeDelta: () => Promise.reject(new Error("secret path")) },
        { logger },
      );
      const response = await post(app, "/v1/completions", { prompt: "a", stream });
      expect(response.status).toBe(500);
      const text = await response.text();
      expect(JSON.parse(text)).toMatchObject({ error: { type: "server_error" } });
      expect(text).not.toContain("secret");
      expect(error).toHaveBeenCalledWith(expect.stringContaining("secret path"));
    },
  );

  it("ends a stream that fails halfway with an error event", async () => {
    const { app, engine } = testApp({
      beforeDelta: (_, index) => (index < 2 ? Promise.resolve() : Promise.reject(new Error("x"))),
    });
    const response = await post(app, "/v1/completions", { prompt: "abc", stream: true });
    expect(response.status).toBe(200);
    const events = await readEvents(response);
    expect(events.slice(2)).toEqual([
      { error: expect.objectContaining({ type: "server_error" }) },
      "[DONE]",
    ]);
    expect(engine.numActive).toBe(0);
  });

  it("ends all choices when one of them fails", async () => {
    const { app, engine } = testApp({
      beforeDelta: (request) =>
        request.id.endsWith("-1") ? Promise.reject(new Error("x")) : new Promise(() => {}),
    });
    const response = await post(app, "/v1/completions", { prompt: "abc", n: 3 });
    expect(response.status).toBe(500);
    expect(engine.numActive).toBe(0);
  });

  it("aborts a stream whose body is cancelled", async () => {
    const { app, engine } = testApp({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : new Promise(() => {})),
    });
    const response = await post(app, "/v1/completions", { prompt: "abc", stream: true });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.cancel();
    expect(engine.abortedIds).toHaveLength(1);
    expect(engine.numActive).toBe(0);
  });

  it("asks the engine for nothing while nobody reads the stream", async () => {
    const { app, engine } = testApp({ reply: () => "x".repeat(1000) });
    const body = { prompt: "a", stream: true, max_tokens: 1000 };
    const response = await post(app, "/v1/completions", body);
    await new Promise((resolve) => setImmediate(resolve));
    expect(engine.numDeltas).toBe(1);
    await response.text();
    expect(engine.numDeltas).toBe(1000);
  });

  it("gives up a stream that nobody reads for stallTimeoutMs", async () => {
    vi.useFakeTimers();
    try {
      const { app, engine } = testApp({ reply: () => "xx" }, { stallTimeoutMs: 5000 });
      const response = await post(app, "/v1/completions", { prompt: "a", stream: true });
      const reader = response.body!.getReader();
      await reader.read();
      await vi.advanceTimersByTimeAsync(4999);
      expect(engine.numActive).toBe(1);
      await vi.advanceTimersByTimeAsync(1);
      expect((await reader.read()).done).toBe(true);
      expect(engine.numActive).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("sends the headers of a stream before a first token that is long in coming", async () => {
    const { app } = testApp(
      { beforeDelta: (_, index) => (index === 0 ? new Promise(() => {}) : Promise.resolve()) },
      { earlyHeadersMs: 1 },
    );
    const response = await post(app, "/v1/completions", { prompt: "a", stream: true });
    expect(response.status).toBe(200);
    await response.body!.cancel();
  });
});

describe("API keys", () => {
  const apiKeys = ["k1", "k2"];

  it("lets requests with any of the keys in and no others", async () => {
    const { app } = testApp({}, { apiKeys });
    const status = async (authorization?: string): Promise<number> => {
      const headers = authorization === undefined ? {} : { authorization };
      return (await post(app, "/v1/completions", { prompt: "a" }, headers)).status;
    };
    expect(await status("Bearer k1")).toBe(200);
    expect(await status("bearer k2")).toBe(200);
    for (const wrong of [
      undefined,
      "",
      "Bearer",
      "Bearer ",
      "Bearer k",
      "Basic k1",
      "Bearer k1 ",
    ]) {
      // HTTP strips what surrounds a header's value, so the last one is right.
      expect(await status(wrong)).toBe(wrong === "Bearer k1 " ? 200 : 401);
    }
  });

  it("answers a missing key in OpenAI's shape and never logs a key", async () => {
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const logger = { debug: log, info: log, warn: log, error: log };
    const { app } = testApp({}, { apiKeys, logger });
    const response = await post(app, "/v1/completions", {}, { authorization: "Bearer guess" });
    expect(await response.json()).toMatchObject({
      error: { type: "invalid_request_error", code: "invalid_api_key" },
    });
    await post(app, "/v1/completions", { prompt: "a" }, { authorization: "Bearer k1" });
    expect(lines).toHaveLength(2);
    expect(lines.join("\n")).not.toMatch(/k1|guess/);
  });

  it("asks for none at probes and metrics, and for one everywhere else", async () => {
    const metrics = { contentType: "text/plain", render: async () => "" };
    const { app } = testApp({}, { apiKeys, metrics });
    const statuses = await Promise.all(
      [
        "/health",
        "/ping",
        "/load",
        "/version",
        "/metrics",
        "/v1/models",
        "/tokenize",
        "/nothing",
      ].map(async (path) => (await app.request(path)).status),
    );
    expect(statuses).toEqual([200, 200, 200, 200, 200, 401, 401, 401]);
  });
});

describe("request bodies", () => {
  const path = "/v1/completions";

  it.each([
    ["{", 400, "invalid_json"],
    ["", 400, "invalid_json"],
    ["[]", 400, null],
    ["null", 400, null],
    ['"text"', 400, null],
  ])("%s is a %i", async (body, status, code) => {
    const response = await post(testApp().app, path, body);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  it("must be application/json", async () => {
    const { app } = testApp();
    for (const type of ["text/plain", "", "application/jsonp"]) {
      const response = await post(app, path, { prompt: "a" }, { "content-type": type });
      expect(response.status).toBe(415);
    }
    const type = "Application/JSON; charset=utf-8";
    expect((await post(app, path, { prompt: "a" }, { "content-type": type })).status).toBe(200);
  });

  it("over the limit are a 413, whether their length is declared or not", async () => {
    const { app } = testApp({}, { maxBodyBytes: 100 });
    const body = JSON.stringify({ prompt: "a".repeat(200) });
    const undeclared = await post(app, path, body);
    const declared = await post(app, path, body, { "content-length": String(body.length) });
    for (const response of [undeclared, declared]) {
      expect(response.status).toBe(413);
      expect(await response.json()).toMatchObject({ error: { code: "body_too_large" } });
    }
    expect((await post(app, path, { prompt: "a".repeat(50) })).status).toBe(200);
  });
});

describe("POST /tokenize and /detokenize", () => {
  it("answer in vLLM's shape", async () => {
    const { app } = testApp();
    expect(await postJson(app, "/tokenize", { prompt: "hi" })).toEqual({
      count: 3,
      max_model_len: 4096,
      tokens: [256, 104, 105],
      token_strs: null,
    });
    const options = { add_special_tokens: false, return_token_strs: true };
    expect(await postJson(app, "/tokenize", { model: "fake", prompt: "hi", ...options })).toEqual({
      count: 2,
      max_model_len: 4096,
      tokens: [104, 105],
      token_strs: ["h", "i"],
    });
    expect(await postJson(app, "/detokenize", { tokens: [104, 105] })).toEqual({ prompt: "hi" });
  });

  it("count messages as chat does", async () => {
    const { app, engine } = testApp();
    const messages = [{ role: "user", content: "hi" }];
    const { tokens } = await postJson(app, "/tokenize", { messages });
    await post(app, "/v1/chat/completions", { messages });
    expect(tokens).toEqual(Array.from(engine.requests[0]!.promptTokens));
    const shorter = await postJson(app, "/tokenize", { messages, add_generation_prompt: false });
    expect(shorter.count).toBeLessThan(tokens.length);
  });

  it.each([
    ["/tokenize", {}, "prompt"],
    ["/tokenize", { prompt: "a", messages: [{ role: "user", content: "a" }] }, "prompt"],
    ["/tokenize", { prompt: 1 }, "prompt"],
    ["/tokenize", { prompt: "a", model: 4 }, "model"],
    ["/tokenize", { messages: [] }, "messages"],
    ["/detokenize", {}, "tokens"],
    ["/detokenize", { tokens: [1, "a"] }, "tokens[1]"],
    ["/detokenize", { tokens: [258] }, "tokens"],
    ["/detokenize", { tokens: [-1] }, "tokens[0]"],
  ])("%s refuses %j and names the field", async (path, body, param) => {
    const response = await post(testApp().app, path, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });
});
