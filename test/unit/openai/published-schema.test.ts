import type OpenAI from "openai";
import { describe, expect, expectTypeOf, it } from "vitest";
import type { z } from "zod";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import { post, readEvents, testApp } from "../server/requests.ts";
import type { Json } from "../server/requests.ts";
import {
  chatCompletion,
  chatCompletionChunk,
  completion,
  completionChunk,
  errorBody,
} from "./published-schema.ts";
import type { Chat, Chunk, MirrorHasAllFields } from "./published-schema.ts";

/** The optional fields of the client's types are never undefined, zod's may be. */
type Exact<T> = T extends readonly (infer Item)[]
  ? Exact<Item>[]
  : T extends object
    ? { [Key in keyof T]: Exact<Exclude<T[Key], undefined>> }
    : T;

describe("the mirror of OpenAI's schema", () => {
  it("has the fields and types of OpenAI's own client", () => {
    expectTypeOf<MirrorHasAllFields[keyof MirrorHasAllFields]>().toEqualTypeOf<true>();
    expectTypeOf<Exact<Chat>>().toExtend<OpenAI.ChatCompletion>();
    expectTypeOf<Exact<Chunk>>().toExtend<OpenAI.ChatCompletionChunk>();
  });
});

const REPLY =
  '<think>hm</think>Yes.\n<tool_call>{"name": "f", "arguments": {"a": "é"}}</tool_call>';
const tools = [{ type: "function", function: { name: "f" } }];
const messages = [{ role: "user", content: "hi" }];
const template =
  "{# <tool_call> <think> #}{% for m in messages %}{{ m.content }}{% endfor %}{{ tools }}";
const model = { bosText: "", eosText: "", addsBos: false };

const bodies: readonly [string, string, object][] = [
  ["chat", "/v1/chat/completions", { messages }],
  ["chat, twice", "/v1/chat/completions", { messages, n: 2 }],
  ["chat with tools", "/v1/chat/completions", { messages, tools }],
  [
    "chat with log probabilities",
    "/v1/chat/completions",
    { messages, logprobs: true, top_logprobs: 2 },
  ],
  ["chat cut off", "/v1/chat/completions", { messages, max_tokens: 2 }],
  ["a completion", "/v1/completions", { prompt: "a", max_tokens: 500 }],
  ["completions", "/v1/completions", { prompt: ["a", [98]], n: 2, echo: true }],
  ["completions with log probabilities", "/v1/completions", { prompt: "ab", logprobs: 2 }],
  ["the best of three", "/v1/completions", { prompt: "ab", best_of: 3, n: 2 }],
  ["a prompt with log probabilities", "/v1/completions", { prompt: "ab", logprobs: 1, echo: true }],
  ["a prompt alone", "/v1/completions", { prompt: "ab", max_tokens: 0, echo: true }],
];

const app = testApp(
  { reply: () => REPLY, numCachedTokens: 1 },
  { chatTemplate: new ChatTemplate(template, model) },
).app;

function check(schema: z.ZodType, value: unknown): void {
  expect(schema.safeParse(value).error?.issues, JSON.stringify(value)).toBeUndefined();
}

/** The one field that OpenAI does not know: DeepSeek's, vLLM's and llama-server's name for thoughts. */
function withoutReasoning(answer: Json): Json {
  for (const choice of answer.choices) delete (choice.message ?? choice.delta)?.reasoning_content;
  return answer;
}

describe("answers are of OpenAI's schema", () => {
  it.each(bodies)("%s", async (_, path, body) => {
    const response = await post(app, path, body);
    expect(response.status).toBe(200);
    const isChat = path.includes("chat");
    check(isChat ? chatCompletion : completion, withoutReasoning(await response.json()));
  });

  it.each(
    bodies
      .filter(([, , body]) => !("best_of" in body))
      .flatMap(([name, path, body]) => [
        [name, path, { ...body, stream: true }] as const,
        [
          `${name} with usage`,
          path,
          { ...body, stream: true, stream_options: { include_usage: true } },
        ] as const,
      ]),
  )("%s, as a stream", async (_, path, body) => {
    const events = await readEvents(await post(app, path, body));
    expect(events.pop()).toBe("[DONE]");
    const isChat = path.includes("chat");
    for (const event of events) {
      check(isChat ? chatCompletionChunk : completionChunk, withoutReasoning(event));
    }
    expect(events.filter((event) => event.usage != null)).toHaveLength(
      "stream_options" in body ? 1 : 0,
    );
  });

  it.each([
    ["/v1/chat/completions", {}],
    ["/v1/chat/completions", { messages, temperature: -1 }],
    ["/v1/completions", { prompt: "a", model: "other" }],
    ["/v1/completions", { prompt: "a".repeat(5000) }],
    ["/v1/nothing", {}],
  ])("errors of %s %j", async (path, body) => {
    const response = await post(app, path, body);
    expect(response.status).toBeGreaterThanOrEqual(400);
    check(errorBody, await response.json());
  });
});
