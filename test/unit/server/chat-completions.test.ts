import { describe, expect, it } from "vitest";
import { post, postJson, readEvents, testApp } from "./requests.ts";

const PATH = "/v1/chat/completions";
const hello = [{ role: "user", content: "hi" }];

describe("POST /v1/chat/completions", () => {
  it("answers in OpenAI's shape", async () => {
    const { app } = testApp({ reply: () => "yes", numCachedTokens: 5 });
    const body = await postJson(app, PATH, { model: "org/fake", messages: hello });
    expect(body).toEqual({
      id: expect.stringMatching(/^chatcmpl-[0-9a-f]{32}$/),
      object: "chat.completion",
      created: 1_700_000_000,
      model: "org/fake",
      choices: [
        {
          index: 0,
          message: { role: "assistant", content: "yes", refusal: null },
          logprobs: null,
          finish_reason: "stop",
        },
      ],
      usage: {
        prompt_tokens: 1 + "user:hi;assistant:".length,
        completion_tokens: 4,
        total_tokens: 23,
        prompt_tokens_details: { cached_tokens: 5 },
      },
    });
  });

  it("renders the messages with the chat template, one BOS in front", async () => {
    const { app, engine } = testApp();
    await postJson(app, PATH, {
      messages: [
        { role: "developer", content: "be kind" },
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
        { role: "assistant", content: null },
        { role: "user", name: "ann", content: "c" },
      ],
    });
    const { promptTokens } = engine.requests[0]!;
    expect(promptTokens[0]).toBe(256);
    expect(engine.detokenize(promptTokens)).toBe(
      "system:be kind;user:ab;assistant:;user:c;assistant:",
    );
  });

  it("leaves room for the whole context by default, and prefers max_completion_tokens", async () => {
    const { app, engine } = testApp({ model: { maxModelLen: 100 } });
    await postJson(app, PATH, { messages: hello });
    await postJson(app, PATH, { messages: hello, max_tokens: 7 });
    await postJson(app, PATH, { messages: hello, max_tokens: 7, max_completion_tokens: 5 });
    expect(engine.requests.map((request) => request.sampling.maxTokens)).toEqual([81, 7, 5]);
  });

  it("reports log probabilities with bytes", async () => {
    const { app } = testApp({ reply: () => "é" });
    const body = await postJson(app, PATH, { messages: hello, logprobs: true, top_logprobs: 1 });
    expect(body.choices[0].logprobs).toEqual({
      content: [
        {
          token: "é",
          logprob: -0.5,
          bytes: [195, 169],
          top_logprobs: [{ token: "é", logprob: -0.5, bytes: [195, 169] }],
        },
        {
          token: "",
          logprob: -0.5,
          bytes: [],
          top_logprobs: [{ token: "", logprob: -0.5, bytes: [] }],
        },
      ],
      refusal: null,
    });
  });

  it("streams the role first, then text, then an empty delta with the reason", async () => {
    const { app } = testApp({ reply: () => "ok" });
    const events = await readEvents(await post(app, PATH, { messages: hello, stream: true }));
    const chunk = (delta: object, finish_reason: string | null): object => ({
      id: events[0].id,
      object: "chat.completion.chunk",
      created: 1_700_000_000,
      model: "fake",
      choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    });
    expect(events).toEqual([
      chunk({ role: "assistant", content: "" }, null),
      chunk({ content: "o" }, null),
      chunk({ content: "k" }, null),
      chunk({}, "stop"),
      "[DONE]",
    ]);
  });

  it("streams n choices, each with its role first, and the usage last", async () => {
    const { app } = testApp({ reply: () => "ok" });
    const events = await readEvents(
      await post(app, PATH, {
        messages: hello,
        n: 2,
        stream: true,
        stream_options: { include_usage: true },
      }),
    );
    for (const index of [0, 1]) {
      const deltas = events
        .slice(0, -2)
        .flatMap((event) => event.choices)
        .filter((choice) => choice.index === index)
        .map((choice) => choice.delta);
      expect(deltas).toEqual([
        { role: "assistant", content: "" },
        { content: "o" },
        { content: "k" },
        {},
      ]);
    }
    expect(events.at(-2)).toMatchObject({ choices: [], usage: { completion_tokens: 6 } });
  });

  it("keeps log probabilities of tokens that are not yet a character", async () => {
    const { app } = testApp({ reply: () => "" });
    const events = await readEvents(
      await post(app, PATH, { messages: hello, stream: true, logprobs: true }),
    );
    expect(events[1].choices[0]).toMatchObject({
      delta: { content: "" },
      logprobs: { content: [{ token: "" }] },
    });
  });

  it("tells the template's own words when it refuses", async () => {
    const { ChatTemplate } = await import("../../../src/engine/chat-template.ts");
    const source = "{{ raise_exception('No system role here') }}";
    const model = { bosText: "", eosText: "", addsBos: false };
    const { app } = testApp({}, { chatTemplate: new ChatTemplate(source, model) });
    const response = await post(app, PATH, { messages: hello });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      error: { message: expect.stringContaining("No system role here"), param: "messages" },
    });
  });

  const unfinished = [...hello, { role: "assistant", content: " Once upon " }];

  it("goes on with the final message, and puts it in front where echo asks for it", async () => {
    const { app, engine } = testApp({ reply: () => "a time" });
    const body = { messages: unfinished, continue_final_message: true, echo: true };
    const { choices } = await postJson(app, PATH, body);
    const prompt = engine.detokenize(engine.requests[0]!.promptTokens);
    expect(prompt.endsWith("assistant: Once upon ")).toBe(true);
    expect(choices[0].message.content).toBe(" Once upon a time");
    const events = await readEvents(await post(app, PATH, { ...body, stream: true }));
    expect(events[0].choices[0].delta).toEqual({ role: "assistant", content: " Once upon " });
  });

  it("echoes nothing of the user's", async () => {
    const { app } = testApp({ reply: () => "a" });
    const { choices } = await postJson(app, PATH, { messages: hello, echo: true });
    expect(choices[0].message.content).toBe("a");
  });

  it("shows documents to a template that knows them, and refuses them for others", async () => {
    const { ChatTemplate } = await import("../../../src/engine/chat-template.ts");
    const source = "{% for d in documents %}[{{ d.title }}]{% endfor %}";
    const model = { bosText: "", eosText: "", addsBos: false };
    const { app, engine } = testApp({}, { chatTemplate: new ChatTemplate(source, model) });
    const body = { messages: hello, documents: [{ title: "one" }, { title: "two" }] };
    expect((await post(app, PATH, body)).status).toBe(200);
    expect(engine.detokenize(engine.requests[0]!.promptTokens)).toBe("[one][two]");
    const refused = await post(testApp().app, PATH, body);
    expect(await refused.json()).toMatchObject({ error: { param: "documents" } });
  });

  it("is a 400 without a chat template", async () => {
    const { app } = testApp({}, { chatTemplate: undefined });
    const response = await post(app, PATH, { messages: hello });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain("--chat-template");
  });
});
