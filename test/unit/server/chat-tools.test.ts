import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../../src/engine/chat-template.ts";
import { post, postJson, readEvents, testApp } from "./requests.ts";
import type { Json, TestApp } from "./requests.ts";

const PATH = "/v1/chat/completions";
const messages = [{ role: "user", content: "hi" }];
const tools = [
  {
    type: "function",
    function: { name: "add", description: "Adds", parameters: { type: "object", properties: {} } },
  },
];
const BODY = "{% for message in messages %}{{ message.role }}:{{ message.content }};{% endfor %}";
const TOOLS = "{% if tools %}{{ tools | tojson }}{% endif %}";
const CALL = '<tool_call>\n{"name": "add", "arguments": {"a": [1, 2]}}\n</tool_call>';

function chatApp(reply: string, template = `{# <tool_call> #}${TOOLS}${BODY}`): TestApp {
  const model = { bosText: "", eosText: "", addsBos: false };
  const chatTemplate = new ChatTemplate(template, model);
  return testApp({ reply: () => reply, model: { maxModelLen: 100_000 } }, { chatTemplate });
}

async function errorOf(app: TestApp["app"], body: object): Promise<Json> {
  const response = await post(app, PATH, { messages, ...body });
  expect(response.status).toBe(400);
  return ((await response.json()) as Json).error;
}

describe("tools", () => {
  it("are shown to the template, and calls come back in OpenAI's shape", async () => {
    const { app, engine } = chatApp(`On it.\n${CALL}`);
    const { choices } = await postJson(app, PATH, { messages, tools });
    expect(choices).toEqual([
      {
        index: 0,
        message: {
          role: "assistant",
          content: "On it.",
          refusal: null,
          tool_calls: [
            {
              id: expect.stringMatching(/^call_[0-9a-f]{24}$/),
              type: "function",
              function: { name: "add", arguments: '{"a": [1, 2]}' },
            },
          ],
        },
        logprobs: null,
        finish_reason: "tool_calls",
      },
    ]);
    const [request] = engine.requests;
    expect(engine.detokenize(request!.promptTokens)).toContain('"description": "Adds"');
    expect(request!.sampling).toMatchObject({ grammar: undefined, skipsSpecialTokens: false });
  });

  it("come out of channels, and thoughts do so without tools", async () => {
    const template = `{# <|channel|>commentary to=functions. <|message|> #}${TOOLS}${BODY}`;
    const thoughts = "<|channel|>analysis<|message|>hm<|end|><|start|>assistant";
    const call = '<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1}';
    const called = await postJson(chatApp(thoughts + call, template).app, PATH, {
      messages,
      tools,
    });
    expect(called.choices[0]).toMatchObject({
      message: {
        content: null,
        reasoning_content: "hm",
        tool_calls: [{ function: { name: "add", arguments: '{"a": 1}' } }],
      },
      finish_reason: "tool_calls",
    });
    const { app, engine } = chatApp(`${thoughts}<|channel|>final<|message|>Yes.`, template);
    const { choices } = await postJson(app, PATH, { messages });
    expect(choices[0].message).toMatchObject({ content: "Yes.", reasoning_content: "hm" });
    expect(engine.requests[0]!.sampling.skipsSpecialTokens).toBe(false);
  });

  it("have content null where there is nothing but calls", async () => {
    const { app } = chatApp(CALL);
    const { choices } = await postJson(app, PATH, { messages, tools });
    expect(choices[0].message.content).toBeNull();
  });

  it("stream the name first and the arguments as they come", async () => {
    const { app } = chatApp(`Hm <b> ${CALL}`);
    const events = await readEvents(await post(app, PATH, { messages, tools, stream: true }));
    const deltas = events.slice(0, -1).map((event) => event.choices[0].delta);
    const content = deltas.map((delta) => delta.content ?? "").join("");
    expect(content).toBe("Hm <b>");
    const calls = deltas.flatMap((delta) => delta.tool_calls ?? []);
    expect(calls[0]).toEqual({
      index: 0,
      id: expect.any(String),
      type: "function",
      function: { name: "add", arguments: "{" },
    });
    expect(calls.length).toBeGreaterThan(5);
    for (const call of calls.slice(1)) expect(Object.keys(call)).toEqual(["index", "function"]);
    expect(calls.map((call) => call.function.arguments).join("")).toBe('{"a": [1, 2]}');
    expect(events.at(-2).choices[0]).toMatchObject({ delta: {}, finish_reason: "tool_calls" });
  });

  it("give one call where parallel_tool_calls is false", async () => {
    const { app } = chatApp(CALL + CALL);
    const both = await postJson(app, PATH, { messages, tools });
    expect(both.choices[0].message.tool_calls).toHaveLength(2);
    const one = await postJson(app, PATH, { messages, tools, parallel_tool_calls: false });
    expect(one.choices[0].message.tool_calls).toHaveLength(1);
  });

  it("are enforced by a grammar when a call is required", async () => {
    const { app, engine } = chatApp(CALL);
    await postJson(app, PATH, { messages, tools, tool_choice: "required" });
    expect(engine.requests[0]!.sampling.grammar).toContain('\\"name\\": \\"add\\"');
  });

  it("are kept from the model by tool_choice none", async () => {
    const { app, engine } = chatApp(CALL);
    const { choices } = await postJson(app, PATH, { messages, tools, tool_choice: "none" });
    expect(choices[0]).toMatchObject({ message: { content: CALL }, finish_reason: "stop" });
    expect(engine.detokenize(engine.requests[0]!.promptTokens)).toBe("user:hi;");
  });

  it("show earlier calls and their results to the template", async () => {
    const template =
      `{# <tool_call> #}{% for m in messages %}{{ m.role }}` +
      `{% for call in m.tool_calls or [] %}[{{ call.id }} {{ call.function.name }} {{ call.function.arguments.a }}]{% endfor %}` +
      `{{ m.tool_call_id }}{{ m.content }};{% endfor %}{{ tools | length }}`;
    const { app, engine } = chatApp("ok", template);
    const call = { id: "c1", type: "function", function: { name: "add", arguments: '{"a": 7}' } };
    await postJson(app, PATH, {
      tools,
      messages: [
        ...messages,
        { role: "assistant", content: null, tool_calls: [call] },
        { role: "tool", tool_call_id: "c1", content: "8" },
      ],
    });
    expect(engine.detokenize(engine.requests[0]!.promptTokens)).toBe(
      "userhi;assistant[c1 add 7];toolc18;1",
    );
  });

  it("are a 400 for a template without tools, and for one whose calls cannot be read", async () => {
    const none = await errorOf(chatApp("x", BODY).app, { tools });
    expect(none).toMatchObject({ param: "tools", message: expect.stringContaining("has none") });
    const unknown = await errorOf(chatApp("x", TOOLS + BODY).app, { tools });
    expect(unknown.message).toContain("does not know the form");
    const { app } = chatApp("x", BODY);
    expect((await post(app, PATH, { messages, tools: [] })).status).toBe(200);
    expect((await post(app, PATH, { messages, tools, tool_choice: "none" })).status).toBe(200);
    expect((await post(app, "/tokenize", { messages, tools })).status).toBe(400);
  });

  it("name the keyword of a schema that cannot be honoured", async () => {
    const strict = {
      ...tools[0]!.function,
      strict: true,
      parameters: { type: "object", properties: { a: { type: "string", pattern: "(?=a)" } } },
    };
    const error = await errorOf(chatApp("x").app, {
      tools: [{ type: "function", function: strict }],
    });
    expect(error.param).toBe("tools[0].function.parameters.properties.a");
    expect(error.message).toContain("look-around");
  });
});

describe("response_format", () => {
  it.each([
    [{ type: "text" }, undefined],
    [{ type: "json_object" }, expect.stringContaining("root ::=")],
    [
      { type: "json_schema", json_schema: { name: "a", schema: { enum: ["x"] } } },
      expect.stringContaining('root ::= "" "\\"x\\""'),
    ],
  ])(
    "%j reaches the engine as a grammar, from both endpoints",
    async (response_format, grammar) => {
      const { app, engine } = chatApp("x");
      await postJson(app, PATH, { messages, response_format });
      await postJson(app, "/v1/completions", { prompt: "a", response_format });
      expect(engine.requests.map((request) => request.sampling.grammar)).toEqual([
        grammar,
        grammar,
      ]);
    },
  );

  it("names the keyword that it cannot honour", async () => {
    const schema = { type: "object", properties: { a: { type: "array", uniqueItems: true } } };
    const error = await errorOf(chatApp("x").app, {
      response_format: { type: "json_schema", json_schema: { name: "a", schema } },
    });
    expect(error).toMatchObject({
      param: "response_format.json_schema.schema.properties.a",
      message: expect.stringContaining("'uniqueItems'"),
    });
  });
});

describe("reasoning", () => {
  const THINKING = `${BODY}{# <think> #}`;

  it("is told apart from the content, whole and streamed", async () => {
    const { app } = chatApp("<think>\nhm, a < b\n</think>\n\nyes", THINKING);
    const { choices } = await postJson(app, PATH, { messages });
    expect(choices[0].message).toEqual({
      role: "assistant",
      content: "yes",
      refusal: null,
      reasoning_content: "hm, a < b",
    });
    const events = await readEvents(await post(app, PATH, { messages, stream: true }));
    const deltas = events.slice(0, -1).map((event) => event.choices[0].delta);
    expect(deltas.map((delta) => delta.reasoning_content ?? "").join("")).toBe("hm, a < b");
    expect(deltas.map((delta) => delta.content ?? "").join("")).toBe("yes");
  });

  it("begins at once where the prompt ends with <think>", async () => {
    const { app } = chatApp("hm</think>yes", `${BODY}<think>\n`);
    const { choices } = await postJson(app, PATH, { messages });
    expect(choices[0].message).toMatchObject({ reasoning_content: "hm", content: "yes" });
  });

  it("is off where the prompt ends with </think>", async () => {
    const { app } = chatApp("<think>no</think>", `${BODY}<think></think>\n`);
    const { choices } = await postJson(app, PATH, { messages });
    expect(choices[0].message.content).toBe("<think>no</think>");
  });

  it("is left out by include_reasoning false", async () => {
    const { app } = chatApp("<think>hm</think>yes", THINKING);
    const body = { messages, include_reasoning: false };
    const { choices } = await postJson(app, PATH, body);
    expect(choices[0].message).toEqual({ role: "assistant", content: "yes", refusal: null });
    expect(await (await post(app, PATH, { ...body, stream: true })).text()).not.toContain("hm");
  });

  it("comes before an answer in a format", async () => {
    const { app, engine } = chatApp("x", `${BODY}<think>`);
    await postJson(app, PATH, { messages, response_format: { type: "json_object" } });
    expect(engine.requests[0]!.sampling.grammar).toContain("</think>");
  });

  it("takes its effort from the request where the template knows it", async () => {
    const { app, engine } = chatApp("x", `${BODY}{{ reasoning_effort }}`);
    await postJson(app, PATH, { messages, reasoning_effort: "high" });
    expect(engine.detokenize(engine.requests[0]!.promptTokens)).toBe("user:hi;high");
    const error = await errorOf(chatApp("x").app, { reasoning_effort: "high" });
    expect(error).toMatchObject({ param: "reasoning_effort" });
  });
});
