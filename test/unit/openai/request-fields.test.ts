import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import {
  parseChatRequest,
  parseCompletionRequest,
  readAnswerFormat,
  readToolWish,
} from "../../../src/openai/index.ts";
import type { ToolFields } from "../../../src/openai/index.ts";

const messages = [{ role: "user", content: "hi" }];

/** What both endpoints refuse: field, value, a part of the message. */
const wrongFields: readonly (readonly [string, unknown, string])[] = [
  ["model", 5, "expected string"],
  ["n", 0, "expected number to be >=1, got 0"],
  ["n", 129, "<=128"],
  ["n", 1.5, "expected int"],
  ["stream", "true", "expected boolean"],
  ["temperature", -0.1, ">=0"],
  ["temperature", "hot", 'expected number, received string, got "hot"'],
  ["top_p", 1.1, "<=1"],
  ["top_k", -2, ">=-1"],
  ["min_p", 2, "<=1"],
  ["presence_penalty", 2.1, "<=2"],
  ["frequency_penalty", -3, ">=-2"],
  ["repetition_penalty", 0, ">=0.01"],
  ["logit_bias", { "5": 101 }, "<=100"],
  ["logit_bias", [1], "expected record"],
  ["seed", 0.5, "expected int"],
  ["seed", 2 ** 60, "expected int"],
  ["max_tokens", 0, "got 0"],
  ["max_tokens", -5, "got -5"],
  ["max_tokens", "many", "expected number"],
  ["min_tokens", -1, ">=0"],
  ["stop", [""], ">=1 characters"],
  ["stop", 5, "a string or a list"],
  ["stop", Array.from({ length: 65 }, () => "x"), "at most 64"],
  ["stop_token_ids", ["a"], "expected number"],
  ["ignore_eos", 1, "expected boolean"],
  ["include_stop_str_in_output", "yes", "expected boolean"],
  ["bad_words", ["a", ""], ">=1 characters"],
  ["allowed_token_ids", [], ">=1 items"],
  ["truncate_prompt_tokens", 0, "at least one token"],
  ["truncate_prompt_tokens", -2, ">=-1"],
  ["return_token_ids", 1, "expected boolean"],
  ["prompt_logprobs", 21, "<=20"],
  ["cache_salt", "", ">=1 characters"],
  ["kv_transfer_params", "x", "expected record"],
  ["priority", "high", "expected number"],
  ["request_id", "a b", "letters, digits"],
  ["response_format", { type: "xml" }, '"json_object"'],
  ["response_format", "json", '"json_object"'],
  ["response_format", { type: "json_schema" }, "it is missing"],
  ["response_format", { type: "json_schema", json_schema: {} }, "it is missing"],
  ["response_format", { type: "json_schema", json_schema: { name: "a b" } }, "1 to 64 letters"],
  [
    "response_format",
    { type: "json_schema", json_schema: { name: "a", schema: 5 } },
    "expected record",
  ],
  ["structured_outputs", { grammar: 'root ::= "a"' }, "it takes no grammars"],
  ["structured_outputs", { structural_tag: "{}" }, "unknown field 'structural_tag'"],
  ["structured_outputs", { choice: [] }, ">=1 items"],
  ["guided_json", "{", "expected record"],
  ["guided_choice", ["a", 1], "expected string"],
  ["guided_regex", 5, "expected string"],
  ["response_format", { type: "text", strict: true }, "unknown field 'strict'"],
  ["skip_special_tokens", 1, "expected boolean"],
  ["stream_options", { include_usage: "yes" }, "expected boolean"],
  ["stream_options", { colour: true }, "unknown field 'colour'"],
];

/** What both endpoints know and cannot honour. */
const unsupportedFields: readonly (readonly [string, unknown])[] = [
  ["functions", [{}]],
  ["function_call", { name: "f" }],
  ["modalities", ["audio"]],
  ["audio", { voice: "x" }],
  ["prediction", {}],
  ["verbosity", "low"],
  ["web_search_options", {}],
  ["use_beam_search", true],
  ["length_penalty", 0.5],
  ["guided_grammar", 'root ::= "a"'],
  ["grammar", 'root ::= "a"'],
  ["guided_whitespace_pattern", " "],
  ["logits_processors", ["x"]],
  ["chat_template", "{{ x }}"],
];

const parsers: readonly (readonly [string, (body: object) => unknown, object])[] = [
  ["completions", parseCompletionRequest, { prompt: "a" }],
  ["chat", parseChatRequest, { messages }],
];

function failureOf(parse: () => unknown): UsageError {
  try {
    parse();
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return error as UsageError;
  }
  throw new Error("Expected a UsageError");
}

describe.each(parsers)("the fields of %s", (_, parse, minimal) => {
  it.each(wrongFields)("%s: %j is refused", (name, value, message) => {
    const error = failureOf(() => parse({ ...minimal, stream: true, [name]: value }));
    expect(error.param?.split(/[.[]/)[0]).toBe(name);
    expect(error.message).toContain(message);
  });

  it.each(unsupportedFields)("%s: %j is refused as not supported", (name, value) => {
    const error = failureOf(() => parse({ ...minimal, [name]: value }));
    expect(error.param).toBe(name);
    expect(error.message).toContain(`cannot honour '${name}'`);
  });

  it("null is the same as absent, for every field", () => {
    const names = [...wrongFields, ...unsupportedFields].map(([name]) => [name, null]);
    expect(() => parse({ ...Object.fromEntries(names), ...minimal })).not.toThrow();
  });

  it("values that ask for nothing are accepted", () => {
    const neutral = {
      tools: [],
      tool_choice: "auto",
      parallel_tool_calls: true,
      modalities: ["text"],
      response_format: { type: "text" },
      skip_special_tokens: true,
      use_beam_search: false,
      length_penalty: 1,
    };
    expect(() => parse({ ...minimal, ...neutral })).not.toThrow();
  });

  it("metadata is accepted", () => {
    const metadata = { user: "u", metadata: { a: "b" }, store: true, service_tier: "auto" };
    const keys = { prompt_cache_key: "k", safety_identifier: "s" };
    expect(() => parse({ ...minimal, ...metadata, ...keys })).not.toThrow();
  });

  it.each(["temprature", "__proto__", "constructor", "toString"])(
    "unknown %s is refused",
    (name) => {
      const body = JSON.parse(`{"${name}": 1}`) as object;
      const error = failureOf(() => parse(Object.assign(Object.create(null), body, minimal)));
      expect(error.message).toBe(`Unknown field '${name}' in the request body`);
      expect(error.param).toBe(name);
    },
  );

  it("stream_options needs stream", () => {
    const error = failureOf(() => parse({ ...minimal, stream_options: { include_usage: true } }));
    expect(error.param).toBe("stream_options");
  });

  it("JSON nested a thousand deep is refused", () => {
    const deep = JSON.parse(`{"a":${"[".repeat(1000)}${"]".repeat(1000)}}`) as object;
    for (const name of ["kv_transfer_params", "tools", "stop", "logit_bias", "model"]) {
      expect(failureOf(() => parse({ ...minimal, [name]: deep })).param).toContain(name);
    }
    const format = { type: "json_schema", json_schema: { name: "a", schema: deep } };
    expect(failureOf(() => parse({ ...minimal, response_format: format })).message).toContain(
      "at most 128 levels",
    );
  });

  it("long values are quoted short", () => {
    const error = failureOf(() => parse({ ...minimal, temperature: "x".repeat(1e6) }));
    expect(error.message.length).toBeLessThan(200);
  });
});

describe("readToolWish()", () => {
  const tool = (name: string): ToolFields => ({ type: "function", function: { name } });
  const tools = [tool("a"), tool("b")];

  it.each([
    [{ tools: [tool("a"), tool("a")] }, "tools"],
    [{ tool_choice: "required" as const }, "tool_choice"],
    [{ tool_choice: { type: "function", function: { name: "a" } } as const }, "tool_choice"],
    [{ tools, tool_choice: { type: "function", function: { name: "c" } } as const }, "tool_choice"],
  ])("refuses %j", (fields, param) => {
    expect(failureOf(() => readToolWish(fields)).param).toBe(param);
  });

  it("is undefined where the model is not to know of tools", () => {
    for (const fields of [{}, { tools: [] }, { tools, tool_choice: "none" as const }]) {
      expect(readToolWish(fields)).toBeUndefined();
    }
  });

  it("asks for one call of the function that is named", () => {
    const choice = { type: "function", function: { name: "b" } } as const;
    expect(readToolWish({ tools, tool_choice: choice })).toEqual({
      tools,
      onlyName: "b",
      isRequired: true,
      isParallel: false,
    });
  });
});

describe("parseCompletionRequest()", () => {
  it.each([
    [undefined, "prompt"],
    [null, "prompt"],
    [5, "prompt"],
    [{}, "prompt"],
    [[], "prompt"],
    [[1, "a"], "prompt[1]"],
    [[1, -1], "prompt[1]"],
    [[1.5], "prompt[0]"],
    [[1, 2 ** 31], "prompt[1]"],
    [["a", 1], "prompt[1]"],
    [["a", []], "prompt[1]"],
    [[[1], [2, null]], "prompt[1][1]"],
    [[true], "prompt[0]"],
    [Array.from({ length: 129 }, () => "a"), "prompt"],
  ])("refuses the prompt %j", (prompt, param) => {
    expect(failureOf(() => parseCompletionRequest({ prompt })).param).toBe(param);
  });

  it("takes strings and token ids side by side", () => {
    expect(parseCompletionRequest({ prompt: ["a", [1]] }).prompts).toEqual([
      { kind: "text", text: "a" },
      { kind: "tokens", tokens: Int32Array.of(1) },
    ]);
  });

  it.each([
    [{ best_of: 129 }, "best_of"],
    [{ n: 3, best_of: 2 }, "best_of"],
    [{ best_of: 2, stream: true }, "best_of"],
    [{ logprobs: 21 }, "logprobs"],
    [{ logprobs: true }, "logprobs"],
    [{ suffix: "end" }, "suffix"],
    [{ messages }, "messages"],
    [{ max_completion_tokens: 5 }, "max_completion_tokens"],
  ])("refuses %j", (fields, param) => {
    expect(failureOf(() => parseCompletionRequest({ prompt: "a", ...fields })).param).toBe(param);
  });

  it("accepts max_tokens 0 with echo: the prompt alone", () => {
    const { fields } = parseCompletionRequest({ prompt: "a", echo: true, max_tokens: 0 });
    expect(fields.max_tokens).toBe(0);
  });

  it("refuses more answers than may wait", () => {
    const prompt = Array.from({ length: 100 }, () => "a");
    expect(failureOf(() => parseCompletionRequest({ prompt, n: 6 }))).toMatchObject({
      param: "n",
      message: expect.stringContaining("at most 512 answers to all prompts together, got 600"),
    });
    expect(parseCompletionRequest({ prompt, n: 5 }).prompts).toHaveLength(100);
  });

  it("accepts best_of where it is n", () => {
    expect(() => parseCompletionRequest({ prompt: "a", best_of: 1 })).not.toThrow();
    expect(() => parseCompletionRequest({ prompt: "a", n: 2, best_of: 2 })).not.toThrow();
  });
});

describe("parseChatRequest()", () => {
  const user = (content: unknown, more = {}): object => ({ role: "user", content, ...more });

  it.each([
    [undefined, "messages"],
    [[], "messages"],
    ["hi", "messages"],
    [[{ content: "x" }], "messages[0].role"],
    [[user("a"), { role: "robot", content: "x" }], "messages[1].role"],
    [[{ role: "tool", content: "x" }], "messages[0].tool_call_id"],
    [[user("x", { tool_call_id: "1" })], "messages[0].tool_call_id"],
    [
      [user("x", { tool_calls: [{ id: "1", function: { name: "f", arguments: "" } }] })],
      "messages[0].tool_calls",
    ],
    [[user(undefined)], "messages[0].content"],
    [[user(null)], "messages[0].content"],
    [[user(5)], "messages[0].content"],
    [[user([{ type: "image_url", image_url: { url: "x" } }])], "messages[0].content[0]"],
    [[user([{ type: "text", text: "a" }, { type: "text" }])], "messages[0].content[1]"],
    [[user(["a"])], "messages[0].content[0]"],
    [[user("a", { colour: "red" })], "messages[0]"],
    [[{ role: "assistant", tool_calls: [{ id: "1" }] }], "messages[0].tool_calls"],
    [[{ role: "assistant", function_call: { name: "f" } }], "messages[0].function_call"],
  ])("refuses the messages %j", (value, param) => {
    const error = failureOf(() => parseChatRequest({ messages: value }));
    expect(error.param).toContain(param);
  });

  it.each([
    [{ top_logprobs: 2 }, "top_logprobs"],
    [{ logprobs: true, top_logprobs: 21 }, "top_logprobs"],
    [{ logprobs: 2 }, "logprobs"],
    [{ prompt: "a" }, "prompt"],
    [{ best_of: 2 }, "best_of"],
    [{ echo: "yes" }, "echo"],
    [{ documents: ["a"] }, "documents[0]"],
    [{ continue_final_message: true }, "continue_final_message"],
    [
      {
        messages: [{ role: "assistant", content: "a" }],
        continue_final_message: true,
        add_generation_prompt: true,
      },
      "continue_final_message",
    ],
    [{ max_completion_tokens: 0 }, "max_completion_tokens"],
    [{ chat_template_kwargs: [] }, "chat_template_kwargs"],
    [{ reasoning_effort: "much" }, "reasoning_effort"],
    [{ include_reasoning: 1 }, "include_reasoning"],
    [{ tools: "f" }, "tools"],
    [{ tools: [{ type: "function" }] }, "tools[0].function"],
    [{ tools: [{ type: "custom", custom: { name: "f" } }] }, "tools[0].type"],
    [{ tools: [{ type: "function", function: { name: "a b" } }] }, "tools[0].function.name"],
    [{ tool_choice: "always" }, "tool_choice"],
    [{ tool_choice: { type: "function", function: {} } }, "tool_choice"],
    [{ parallel_tool_calls: "no" }, "parallel_tool_calls"],
  ])("refuses %j", (fields, param) => {
    expect(failureOf(() => parseChatRequest({ messages, ...fields })).param).toBe(param);
  });

  it("takes thoughts under both of their names", () => {
    const assistant = { role: "assistant", content: "a" };
    const { messages: parsed } = parseChatRequest({
      messages: [
        { ...assistant, reasoning: "hm" },
        { ...assistant, reasoning_content: "hm", reasoning: null },
      ],
    });
    expect(parsed.map((message) => message.reasoning_content)).toEqual(["hm", "hm"]);
  });

  it("reads the arguments of earlier tool calls for the template, as far as they are JSON", () => {
    const call = (text?: string): object => ({
      id: "1",
      type: "function",
      function: { name: "f", arguments: text },
    });
    const { messages: parsed } = parseChatRequest({
      messages: [
        { role: "assistant", content: null, tool_calls: [call('{"a":1}'), call("{a"), call()] },
        { role: "tool", tool_call_id: "1", content: [{ type: "text", text: "sunny" }] },
      ],
    });
    expect(parsed[0]!.tool_calls!.map((item) => item.function.arguments)).toEqual([
      { a: 1 },
      "{a",
      {},
    ]);
    expect(parsed[1]).toEqual({ role: "tool", tool_call_id: "1", content: "sunny" });
  });

  it("joins text parts and keeps what templates read", () => {
    const { messages: parsed } = parseChatRequest({
      messages: [
        user([
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ]),
        { role: "assistant", content: "c", reasoning_content: "hm", tool_calls: [], refusal: null },
      ],
    });
    expect(parsed).toEqual([
      { role: "user", content: "ab" },
      { role: "assistant", content: "c", reasoning_content: "hm" },
    ]);
  });
});

describe("the format of an answer", () => {
  const schema = { type: "object" };
  const json_schema = { name: "a", schema };

  it.each([
    [{}, undefined],
    [{ response_format: { type: "text" } }, undefined],
    [{ structured_outputs: {} }, undefined],
    [{ structured_outputs: { json: null, json_object: false } }, undefined],
    [{ response_format: { type: "json_object" } }, { kind: "object" }],
    [{ structured_outputs: { json_object: true } }, { kind: "object" }],
    [
      { response_format: { type: "json_schema", json_schema } },
      { kind: "schema", schema, param: "response_format.json_schema.schema" },
    ],
    [
      { structured_outputs: { json: schema } },
      { kind: "schema", schema, param: "structured_outputs.json" },
    ],
    [
      { guided_json: JSON.stringify(schema), guided_decoding_backend: "xgrammar" },
      { kind: "schema", schema, param: "guided_json" },
    ],
    [{ json_schema: schema }, { kind: "schema", schema, param: "json_schema" }],
    [{ guided_choice: ["a"] }, { kind: "choice", texts: ["a"] }],
    [{ structured_outputs: { choice: ["a"] } }, { kind: "choice", texts: ["a"] }],
    [
      { structured_outputs: { regex: "a+" } },
      { kind: "pattern", pattern: "a+", param: "structured_outputs.regex" },
    ],
  ])("of %j is %j", (fields, format) => {
    const { fields: parsed } = parseCompletionRequest({ prompt: "a", ...fields });
    expect(readAnswerFormat(parsed)).toEqual(format);
  });

  it("is one", () => {
    const fields = { structured_outputs: { choice: ["a"], regex: "a" }, guided_regex: "b" };
    const { fields: parsed } = parseCompletionRequest({ prompt: "a", ...fields });
    expect(failureOf(() => readAnswerFormat(parsed)).param).toBe("structured_outputs");
  });
});
