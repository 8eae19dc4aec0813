import { execFile } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { promisify } from "node:util";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI } from "@langchain/openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { TestServer } from "./test-server.ts";

const person = z.object({
  name: z.string().min(1).max(12),
  age: z.int().min(0).max(130),
  pet: z.enum(["cat", "dog"]).nullable(),
});
const messages = [{ role: "user" as const, content: "Who are you?" }];
const model = "synth:1m";

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start("hermes", "--max-model-len", "4096");
});
afterAll(() => server[Symbol.asyncDispose]());

describe("the openai client", () => {
  const weather = {
    type: "function" as const,
    function: {
      name: "weather",
      parameters: {
        type: "object",
        properties: { town: { enum: ["Bern", "Wien"] } },
        required: ["town"],
        additionalProperties: false,
      },
    },
  };

  it("gets JSON of a schema", async () => {
    const schema = z.toJSONSchema(person);
    const answer = await server.client().chat.completions.create({
      model,
      messages,
      temperature: 0,
      max_tokens: 2000,
      response_format: { type: "json_schema", json_schema: { name: "person", schema } },
    });
    expect(answer.choices[0]!.finish_reason).toBe("stop");
    person.parse(JSON.parse(answer.choices[0]!.message.content!));
  });

  it("gets some JSON object, or one that max_tokens cut off", async () => {
    for (let seed = 0; seed < 3; seed++) {
      const answer = await server.client().chat.completions.create({
        model,
        messages,
        seed,
        max_tokens: 500,
        response_format: { type: "json_object" },
      });
      const { finish_reason, message } = answer.choices[0]!;
      if (finish_reason === "stop") expect(JSON.parse(message.content!)).toBeTypeOf("object");
      else expect([finish_reason, message.content![0]]).toEqual(["length", "{"]);
    }
  });

  it.each(["hermes", "llama3", "mistral", "mistralNamed", "qwenCoder", "glm", "channels"] as const)(
    "is given the call that it requires, whole and streamed, by a model of the %s form",
    async (template) => {
      await using other = await TestServer.start(template, "--max-model-len", "4096");
      const request = {
        model,
        messages,
        tools: [weather],
        tool_choice: "required" as const,
        parallel_tool_calls: false,
        max_tokens: 2000,
        seed: 1,
      };
      const { choices } = await other.client().chat.completions.create(request);
      const [call] = choices[0]!.message.tool_calls!;
      if (call?.type !== "function") throw new Error("No function call");
      expect(choices[0]!.finish_reason).toBe("tool_calls");
      expect(call.function.name).toBe("weather");
      expect(["Bern", "Wien"]).toContain(JSON.parse(call.function.arguments).town);

      const stream = other.client().chat.completions.stream(request);
      const whole = await stream.finalChatCompletion();
      expect(whole.choices[0]!.message.tool_calls![0]).toMatchObject({
        type: "function",
        function: { name: "weather", arguments: call.function.arguments },
      });
    },
  );

  it("is given the thoughts of a model that begins with them apart from its content", async () => {
    await using other = await TestServer.start("thinking");
    const request = { model, messages, max_tokens: 30, seed: 1 };
    const { choices } = await other.client().chat.completions.create(request);
    const message = choices[0]!.message as { content: string; reasoning_content?: string };
    expect(message.reasoning_content).toHaveLength(30);
    expect(message.content).toBe("");
    const stream = await other.client().chat.completions.create({ ...request, stream: true });
    let thoughts = "";
    for await (const chunk of stream) {
      const delta = chunk.choices[0]!.delta as { reasoning_content?: string };
      thoughts += delta.reasoning_content ?? "";
    }
    expect(thoughts).toBe(message.reasoning_content);
  });

  it("is told that a template's calls cannot be read", async () => {
    await using other = await TestServer.start("unknown");
    const asking = other.client().chat.completions.create({ model, messages, tools: [weather] });
    await expect(asking).rejects.toMatchObject({ status: 400, param: "tools" });
  });

  it("gets the log probabilities of a prompt that are those it was written with", async () => {
    const written = await server.client().completions.create({
      model,
      prompt: "abcdef",
      max_tokens: 12,
      temperature: 0,
      logprobs: 1,
    });
    const { text, logprobs } = written.choices[0]!;
    const scored = await server.client().completions.create({
      model,
      prompt: `abcdef${text}`,
      max_tokens: 0,
      echo: true,
      logprobs: 1,
    });
    const echo = scored.choices[0]!;
    expect(echo.text).toBe(`abcdef${text}`);
    expect(echo.finish_reason).toBe("length");
    expect(echo.logprobs!.tokens!.join("")).toBe(echo.text);
    expect(echo.logprobs!.token_logprobs![0]).toBeNull();
    const tail = echo.logprobs!.token_logprobs!.slice(-12);
    for (const [i, logprob] of logprobs!.token_logprobs!.entries()) {
      expect(tail[i]).toBeCloseTo(logprob, 2);
    }
    expect(scored.usage).toMatchObject({ prompt_tokens: 6 + 12, completion_tokens: 0 });
  });
});

describe("LangChain's ChatOpenAI", () => {
  const chat = (more: object = {}): ChatOpenAI =>
    new ChatOpenAI({
      model,
      apiKey: "none",
      temperature: 0,
      maxTokens: 40,
      maxRetries: 0,
      configuration: { baseURL: `${server.url}/v1` },
      ...more,
    });

  it("invokes", async () => {
    const answer = await chat().invoke("Who are you?");
    expect(answer.text).toHaveLength(40);
    expect(answer.usage_metadata).toMatchObject({ output_tokens: 40 });
    expect(answer.response_metadata["finish_reason"]).toBe("length");
  });

  it("streams the same text, with usage", async () => {
    const whole = await chat().invoke("Who are you?");
    let text = "";
    const usages: unknown[] = [];
    for await (const chunk of await chat().stream("Who are you?")) {
      text += chunk.text;
      if (chunk.usage_metadata !== undefined) usages.push(chunk.usage_metadata);
    }
    expect(text).toBe(whole.text);
    expect(usages).toEqual([expect.objectContaining({ output_tokens: 40 })]);
  });

  it("gets structured output, by a schema and by a tool", async () => {
    for (const method of ["jsonSchema", "functionCalling"] as const) {
      const structured = chat({ maxTokens: 2000 }).withStructuredOutput(person, {
        name: "person",
        method,
      });
      person.parse(await structured.invoke("Who are you?"));
    }
  });

  it("calls tools and gives back what they say", async () => {
    const add = tool(({ a, b }: { a: number; b: number }) => String(a + b), {
      name: "add",
      description: "Adds two numbers",
      schema: z.object({ a: z.int().min(0).max(9), b: z.int().min(0).max(9) }),
    });
    const bound = chat({ maxTokens: 2000 }).bindTools([add], {
      tool_choice: "add",
      parallel_tool_calls: false,
    });
    const question = { role: "user", content: "How much is 1 and 2?" };
    const asked = await bound.invoke([question]);
    const [call] = asked.tool_calls!;
    expect(call).toMatchObject({ name: "add", id: expect.stringMatching(/^call_/) });
    const result = await add.invoke(call!);
    expect(result.content).toBe(String(call!.args["a"] + call!.args["b"]));
    const answer = await chat().bindTools([add]).invoke([question, asked, result]);
    expect(answer.text).not.toBe("");
  });

  it("streams tool calls", async () => {
    const schema = z.object({ town: z.enum(["Bern", "Wien"]) });
    const weather = tool(() => "sunny", { name: "weather", description: "Tells it", schema });
    const bound = chat({ maxTokens: 2000 }).bindTools([weather], { tool_choice: "any" });
    let whole: Awaited<ReturnType<typeof bound.invoke>> | undefined;
    let numParts = 0;
    for await (const chunk of await bound.stream("What is it like in Bern?")) {
      numParts += chunk.tool_call_chunks?.length ?? 0;
      whole = whole === undefined ? chunk : whole.concat(chunk);
    }
    expect(numParts).toBeGreaterThan(1);
    schema.parse(whole!.tool_calls![0]!.args);
  });
});

describe("clients without a library", () => {
  it("curl streams", async () => {
    const body = JSON.stringify({ messages, max_tokens: 5, stream: true });
    const { stdout } = await promisify(execFile)("curl", [
      "--silent",
      "--no-buffer",
      `${server.url}/v1/chat/completions`,
      "--json",
      body,
    ]);
    const events = stdout.trimEnd().split("\n\n");
    expect(events.length).toBeGreaterThan(5);
    expect(events.at(-1)).toBe("data: [DONE]");
    for (const event of events.slice(0, -1)) JSON.parse(event.replace(/^data: /, ""));
  });

  it("a socket that reads server-sent events by hand gets one after the other", async () => {
    const { hostname, port } = new URL(server.url);
    const socket = connect(Number(port), hostname).setEncoding("utf8");
    const body = JSON.stringify({ prompt: "abc", max_tokens: 200, stream: true });
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n` +
        `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    let text = "";
    let numReads = 0;
    socket.on("data", (piece: string) => {
      text += piece;
      numReads++;
    });
    await once(socket, "close");
    expect(text).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(text.toLowerCase()).toContain("content-type: text/event-stream; charset=utf-8");
    expect(text.match(/^data: \{/gm)!.length).toBeGreaterThan(10);
    expect(text).toContain("data: [DONE]\n\n");
    expect(numReads).toBeGreaterThan(5);
  });
});
