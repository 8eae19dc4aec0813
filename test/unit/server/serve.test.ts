import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { connect } from "node:net";
import OpenAI from "openai";
import { afterEach, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { checkAddress, serve } from "../../../src/server/index.ts";
import type { AppOptions, RunningServer } from "../../../src/server/index.ts";
import { gate } from "./fake-engine.ts";
import type { FakeEngine, FakeEngineOptions } from "./fake-engine.ts";
import { testApp } from "./requests.ts";

const servers: RunningServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close(0)));
});

async function start(
  engineOptions: FakeEngineOptions = {},
  appOptions: Partial<AppOptions> = {},
): Promise<{ server: RunningServer; engine: FakeEngine; client: OpenAI }> {
  const { app, engine } = testApp(engineOptions, appOptions);
  const server = await serve(app, { host: "127.0.0.1", port: 0 });
  servers.push(server);
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "key", maxRetries: 0 });
  return { server, engine, client };
}

/** A client that can be cut off at any moment. */
function send(server: RunningServer, body: object): ClientRequest {
  const request = httpRequest(`${server.url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
  });
  request.on("error", () => {});
  request.end(JSON.stringify({ prompt: "abc", ...body }));
  return request;
}

function responseOf(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once("response", resolve);
    request.once("error", reject);
  });
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of response.setEncoding("utf8")) text += String(piece);
  return text;
}

describe("the openai client", () => {
  const messages = [{ role: "user" as const, content: "hi" }];

  it("completes and chats", async () => {
    const { client } = await start({ reply: () => "yes", numCachedTokens: 2 });
    const chat = await client.chat.completions.create({ model: "fake", messages });
    expect(chat.choices[0]!.message.content).toBe("yes");
    expect(chat.usage!.prompt_tokens_details!.cached_tokens).toBe(2);
    expect(chat._request_id).toMatch(/^[0-9a-f]{32}$/);
    const completion = await client.completions.create({ model: "fake", prompt: "abc" });
    expect(completion.choices[0]!.text).toBe("yes");
  });

  it("streams both endpoints", async () => {
    const { client } = await start({ reply: () => "héllo" });
    let chatText = "";
    let numPromptTokens: number | undefined;
    const chat = await client.chat.completions.create({
      model: "fake",
      messages,
      stream: true,
      stream_options: { include_usage: true },
    });
    for await (const chunk of chat) {
      chatText += chunk.choices[0]?.delta.content ?? "";
      numPromptTokens = chunk.usage?.prompt_tokens;
    }
    expect([chatText, numPromptTokens]).toEqual(["héllo", 19]);

    let text = "";
    const stream = await client.completions.create({ model: "fake", prompt: "a", stream: true });
    for await (const chunk of stream) text += chunk.choices[0]!.text;
    expect(text).toBe("héllo");
  });

  it("lists and retrieves models whose names hold slashes", async () => {
    const { client } = await start();
    const { data } = await client.models.list();
    expect(data.map((model) => model.id)).toEqual(["fake", "org/fake"]);
    expect((await client.models.retrieve("org/fake")).id).toBe("org/fake");
  });

  it("meets its own error classes", async () => {
    const { client } = await start({}, { apiKeys: ["key"] });
    await expect(client.chat.completions.create({ model: "x", messages })).rejects.toMatchObject({
      constructor: OpenAI.NotFoundError,
      code: "model_not_found",
      param: "model",
    });
    const invalid = client.chat.completions.create({ model: "fake", messages, temperature: -1 });
    await expect(invalid).rejects.toBeInstanceOf(OpenAI.BadRequestError);
    const stranger = client.withOptions({ apiKey: "other" }).models.list();
    await expect(stranger).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it("meets an error in the middle of a stream", async () => {
    const { client } = await start({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : Promise.reject(new Error("x"))),
    });
    const stream = await client.completions.create({ model: "fake", prompt: "ab", stream: true });
    const read = async (): Promise<void> => {
      for await (const chunk of stream) expect(chunk.choices[0]!.text).toBe("A");
    };
    await expect(read()).rejects.toBeInstanceOf(OpenAI.APIError);
  });

  it("aborts the generation when its stream is aborted", async () => {
    const { client, engine } = await start({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : new Promise(() => {})),
    });
    const stream = await client.completions.create({ model: "fake", prompt: "ab", stream: true });
    for await (const _ of stream) break;
    await engine.aborted(1);
    expect(engine.numActive).toBe(0);
  });
});

describe("a client that leaves", () => {
  it("aborts its streaming generation", async () => {
    const { server, engine } = await start({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : new Promise(() => {})),
    });
    const request = send(server, { stream: true, n: 2 });
    const response = await responseOf(request);
    await new Promise((resolve) => response.once("data", resolve));
    expect(engine.numActive).toBe(2);
    request.destroy();
    await engine.aborted(2);
    expect(engine.numActive).toBe(0);
  });

  it.each([false, true])(
    "aborts its generation before the first token (stream: %s)",
    async (stream) => {
      const started = gate();
      const { server, engine } = await start({
        beforeDelta: () => {
          started.open();
          return new Promise(() => {});
        },
      });
      const request = send(server, { stream });
      await started.opened;
      request.destroy();
      await engine.aborted(1);
      expect(engine.numActive).toBe(0);
    },
  );

  it("is no error of the server when it leaves in the middle of its body", async () => {
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    const done = gate();
    const debug = (line: string): void => {
      log(line);
      done.open();
    };
    const logger = { debug, info: log, warn: log, error: log };
    const { server } = await start({}, { logger });
    const socket = connect(server.port, "127.0.0.1");
    const head =
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
      "Content-Length: 1000\r\n\r\n{";
    await new Promise((resolve) => socket.write(head, resolve));
    socket.resetAndDestroy();
    await done.opened;
    expect(lines).toEqual(["POST /v1/completions 400 in 0 ms"]);
  });

  it("does not disturb the others", async () => {
    const { opened, open } = gate();
    const started = gate();
    const { server, engine } = await start({
      beforeDelta: (request) => {
        if (engine.requests.length === 2) started.open();
        return request.sampling.maxTokens === 5 ? new Promise(() => {}) : opened;
      },
    });
    const leaving = send(server, { max_tokens: 5 });
    const staying = send(server, { max_tokens: 6 });
    const answer = responseOf(staying);
    await started.opened;
    leaving.destroy();
    await engine.aborted(1);
    open();
    expect(JSON.parse(await textOf(await answer))).toMatchObject({ choices: [{ text: "ABC" }] });
  });
});

describe("a client that reads slowly", () => {
  it("slows its generation down instead of filling memory", async () => {
    const textBytes = 64 * 1024;
    const numDeltas = 2000;
    const { server, engine } = await start({
      reply: () => "x",
      model: { maxModelLen: 1_000_000 },
    });
    const big = "y".repeat(textBytes);
    engine.generate = async function* () {
      for (let i = 1; i <= numDeltas; i++) {
        engine.numDeltas = i;
        const finish = i === numDeltas ? ({ finishReason: "length" } as const) : {};
        yield { text: big, tokens: [1], numCachedTokens: 0, ...finish };
      }
    };
    const response = await responseOf(send(server, { stream: true, max_tokens: numDeltas }));
    response.pause();
    // The sockets' buffers fill up, then nothing moves.
    let seen = -1;
    for (let calm = 0; calm < 20; calm = engine.numDeltas === seen ? calm + 1 : 0) {
      seen = engine.numDeltas;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(seen).toBeGreaterThan(0);
    expect(seen * textBytes).toBeLessThan(32 * 1024 * 1024);
    const text = await textOf(response);
    expect(text.length).toBeGreaterThan(numDeltas * textBytes);
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });
});

describe("serve()", () => {
  it("refuses an address that is taken with a sentence", async () => {
    const { server } = await start();
    const { app } = testApp();
    const taken = { host: "127.0.0.1", port: server.port };
    for (const refused of [serve(app, taken), checkAddress(taken)]) {
      await expect(refused).rejects.toThrow(UsageError);
      await expect(refused).rejects.toThrow(`Cannot listen on 127.0.0.1 port ${server.port}`);
    }
    await checkAddress({ host: "127.0.0.1", port: 0 });
  });

  it("answers a request without a Host header with a 400 in OpenAI's shape", async () => {
    const { server } = await start();
    const socket = connect(server.port, "127.0.0.1");
    socket.end("GET /health HTTP/1.0\r\n\r\n");
    let text = "";
    for await (const piece of socket.setEncoding("utf8")) text += String(piece);
    expect(text).toContain("400 Bad Request");
    expect(text).toContain('{"error":{"message":"Bad request');
  });

  it("closes without waiting when nothing is under way, keep-alive connections included", async () => {
    const { server } = await start();
    await fetch(`${server.url}/health`);
    await server.close(60_000);
    await expect(fetch(`${server.url}/health`)).rejects.toThrow();
  });

  it("lets a stream finish while it closes", async () => {
    const { opened, open } = gate();
    const { server } = await start({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : opened),
    });
    const response = await fetch(`${server.url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ prompt: "abc", stream: true }),
    });
    const closed = server.close(60_000);
    open();
    expect(await response.text()).toContain("data: [DONE]");
    await closed;
  });

  it("tells clients whose answer is still to come that the connection ends", async () => {
    const { opened, open } = gate();
    const started = gate();
    const { server } = await start({
      beforeDelta: () => {
        started.open();
        return opened;
      },
    });
    const request = send(server, {});
    const answer = responseOf(request);
    await started.opened;
    const closed = server.close(60_000);
    open();
    const response = await answer;
    expect([response.statusCode, response.headers.connection]).toEqual([200, "close"]);
    response.resume();
    await closed;
  });

  it("refuses new requests on open connections while it closes", async () => {
    const { opened, open } = gate();
    const { server } = await start({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : opened),
    });
    const socket = connect(server.port, "127.0.0.1").setEncoding("utf8");
    const body = JSON.stringify({ prompt: "abc", stream: true });
    const request =
      "POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n" +
      `Content-Length: ${body.length}\r\n\r\n${body}`;
    socket.write(request);
    let text = "";
    socket.on("data", (piece: string) => (text += piece));
    await new Promise((resolve) => socket.once("data", resolve));
    const closed = server.close(60_000);
    // Answers come in the order of the requests, so this one is held back behind the stream.
    await new Promise((resolve) => socket.write(request, resolve));
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    const ended = new Promise((resolve) => socket.once("close", resolve));
    open();
    await Promise.all([closed, ended]);
    expect(text).toMatch(/^HTTP\/1\.1 200 OK[^]*\[DONE\][^]*HTTP\/1\.1 503 /);
    expect(text).toContain('"code":"shutting_down"');
  });

  it("cuts what is still running when the grace is over, and ends its generation", async () => {
    const { server, engine } = await start({
      beforeDelta: (_, index) => (index < 1 ? Promise.resolve() : new Promise(() => {})),
    });
    const response = await responseOf(send(server, { stream: true }));
    const cut = textOf(response);
    const patient = server.close(60_000);
    await server.close(1);
    await patient;
    await expect(cut).rejects.toThrow("aborted");
    await engine.aborted(1);
  });
});
