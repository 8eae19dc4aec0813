import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { MessageParser } from "../../../src/openai/message-parser.ts";
import type { MessageParserOptions } from "../../../src/openai/message-parser.ts";
import { toolDialectOf } from "../../../src/openai/tool-dialect.ts";
import type { ToolFields } from "../../../src/openai/tools.ts";

const dialects = {
  none: undefined,
  hermes: toolDialectOf("tools <tool_call>")!,
  llama3: toolDialectOf('tools ipython "parameters"')!,
  mistral: toolDialectOf("tools [TOOL_CALLS]")!,
  mistralNamed: toolDialectOf("tools [TOOL_CALLS] [ARGS]")!,
  qwenCoder: toolDialectOf("tools <tool_call> <function= <parameter=")!,
  glm: toolDialectOf("tools <tool_call> <arg_key>")!,
};

/** What tells text from other values where a model writes no JSON. */
const tools: readonly ToolFields[] = [
  {
    type: "function",
    function: {
      name: "f",
      parameters: {
        type: "object",
        properties: {
          text: { type: "string" },
          count: { type: "integer" },
          list: { $ref: "#/$defs/list" },
          maybe: { anyOf: [{ type: "string" }, { type: "null" }] },
          flag: { enum: [true, false] },
        },
        $defs: { list: { type: "array" } },
      },
    },
  },
];

interface Message {
  content: string;
  reasoning: string;
  calls: { id: string; name: string; arguments: string }[];
}

function parse(pieces: readonly string[], options: Partial<MessageParserOptions>): Message {
  const parser = new MessageParser({ reasoning: "never", isParallel: true, tools, ...options });
  const parts = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
  const message: Message = { content: "", reasoning: "", calls: [] };
  for (const part of parts) {
    if (part.kind === "content") message.content += part.text;
    else if (part.kind === "reasoning") message.reasoning += part.text;
    else if (part.id !== undefined) {
      expect(part.index).toBe(message.calls.length);
      message.calls.push({ id: part.id, name: part.name!, arguments: part.arguments });
    } else {
      message.calls[part.index]!.arguments += part.arguments;
    }
  }
  return message;
}

const call = (name: string, text: string): object => ({
  id: expect.stringMatching(/^\w{9,}$/),
  name,
  arguments: text,
});
const nothing = { content: "", reasoning: "", calls: [] };

/** A call of f in Qwen3-Coder's form. */
function qwenCall(...members: readonly (readonly [string, string])[]): string {
  const texts = members.map(([key, value]) => `<parameter=${key}>\n${value}\n</parameter>\n`);
  return `<tool_call>\n<function=f>\n${texts.join("")}</function>\n</tool_call>`;
}

type Case = [keyof typeof dialects, MessageParserOptions["reasoning"], string, object];

const cases: readonly Case[] = [
  ["qwenCoder", "never", qwenCall(), { calls: [call("f", "{}")] }],
  [
    "qwenCoder",
    "never",
    `I will.\n${qwenCall(["text", "5"], ["count", "5"], ["list", '[1, "</x>"]'])}\n${qwenCall()} done`,
    {
      content: "I will.done",
      calls: [call("f", '{"text": "5", "count": 5, "list": [1, "</x>"]}'), call("f", "{}")],
    },
  ],
  [
    "qwenCoder",
    "never",
    qwenCall(["text", "\n a <b>\n"], ["maybe", "null"], ["flag", "True"], ["other", "7"]),
    {
      calls: [call("f", '{"text": "\\n a <b>\\n", "maybe": null, "flag": true, "other": "7"}')],
    },
  ],
  ["qwenCoder", "never", qwenCall(["count", "many"]), { calls: [call("f", '{"count": "many"}')] }],
  [
    "qwenCoder",
    "never",
    "<tool_call>\n<function=f>\n<parameter=text>\nnever en",
    { calls: [call("f", "{")] },
  ],
  ["qwenCoder", "never", "<tool_call> no call", { content: "no call" }],
  [
    "glm",
    "possible",
    "<think>hm</think>\n<tool_call>f\n<arg_key>text</arg_key>\n<arg_value>5</arg_value>\n" +
      "<arg_key>list</arg_key><arg_value>[5]</arg_value></tool_call>\n<tool_call>g</tool_call>",
    { reasoning: "hm", calls: [call("f", '{"text": "5", "list": [5]}'), call("g", "{}")] },
  ],
  ["none", "never", "  just <think>text</think> ", { content: "  just <think>text</think> " }],
  ["none", "possible", "no thoughts", { content: "no thoughts" }],
  ["none", "possible", "<think>\nhm\n</think>\n\nyes", { reasoning: "hm", content: "yes" }],
  ["none", "possible", "<thin ice", { content: "<thin ice" }],
  ["none", "possible", "<think>never ends </thin", { reasoning: "never ends </thin" }],
  [
    "none",
    "begun",
    "hm</think>yes <think>no</think>",
    { reasoning: "hm", content: "yes <think>no</think>" },
  ],
  ["none", "begun", "", {}],
  [
    "hermes",
    "never",
    'a <b\n<tool_call>\n{"name": "f", "arguments": {"x": "}"}}\n</tool_call>',
    { content: "a <b", calls: [call("f", '{"x": "}"}')] },
  ],
  [
    "hermes",
    "possible",
    '<think>x</think>\n<tool_call>{"name":"f","arguments":{}}</tool_call>\n<tool_call>{"name":"g","arguments":{"a":[1,{"b":2}]}}</tool_call>\n',
    { reasoning: "x", calls: [call("f", "{}"), call("g", '{"a":[1,{"b":2}]}')] },
  ],
  [
    "hermes",
    "never",
    '<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call> then',
    { content: "then", calls: [call("f", '{"a":1}')] },
  ],
  ["hermes", "never", '<tool_call>{"name": "f"}</tool_call>', { calls: [call("f", "{}")] }],
  [
    "hermes",
    "never",
    '<tool_call>{"name": "f", "arguments": "{\\"a\\":1}"}</tool_call>',
    { calls: [call("f", '{"a":1}')] },
  ],
  [
    "hermes",
    "never",
    '<tool_call>{"name": "f", "arguments": {"a": "cut',
    { calls: [call("f", '{"a": "cut')] },
  ],
  ["hermes", "never", '<tool_call>{"nam', { content: '{"nam' }],
  ["hermes", "never", "<tool_call>{bad}</tool_call>ok", { content: "{bad}ok" }],
  ["hermes", "never", "a</tool_call>b", { content: "a</tool_call>b" }],
  ["llama3", "never", '{"name": "f", "parameters": {"a": 1}}', { calls: [call("f", '{"a": 1}')] }],
  [
    "llama3",
    "never",
    '<|python_tag|>{"name": "f", "parameters": {}}; {"name": "g", "parameters": {"b":"\\""}}',
    { calls: [call("f", "{}"), call("g", '{"b":"\\""}')] },
  ],
  ["llama3", "never", '{"temperature": 5}', { content: '{"temperature": 5}' }],
  ["llama3", "never", 'no {"name": "f"}', { content: 'no {"name": "f"}' }],
  [
    "mistral",
    "never",
    '[TOOL_CALLS][{"name": "f", "arguments": {"a": []}}, {"name": "g", "arguments": {}}]',
    { calls: [call("f", '{"a": []}'), call("g", "{}")] },
  ],
  [
    "mistral",
    "never",
    'ok [TOOL_CALLS] [{"name": "f", "arguments": {}}] done',
    { content: "okdone", calls: [call("f", "{}")] },
  ],
  [
    "mistralNamed",
    "never",
    '[TOOL_CALLS]f[ARGS]{"a": {"b": 1}}[TOOL_CALLS]g[ARGS]{}',
    { calls: [call("f", '{"a": {"b": 1}}'), call("g", "{}")] },
  ],
];

describe("MessageParser", () => {
  it.each(cases)("%s, thoughts %s: %j", (dialect, reasoning, text, expected) => {
    const options = { reasoning, dialect: dialects[dialect] };
    expect(parse([text], options)).toEqual({ ...nothing, ...expected });
  });

  it("gives the same message however the text is cut", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
        ([dialect, reasoning, text, expected], lengths) => {
          const pieces: string[] = [];
          for (let at = 0, i = 0; at < text.length; i++) {
            const length = lengths[i % lengths.length]!;
            pieces.push(text.slice(at, at + length));
            at += length;
          }
          const options = { reasoning, dialect: dialects[dialect] };
          expect(parse(pieces, options)).toEqual({ ...nothing, ...expected });
        },
      ),
      { numRuns: 1000 },
    );
  });

  it("loses no text and never fails, whatever a model writes", () => {
    const piece = fc.constantFrom(
      ...'<function=f> </function> <parameter=text> </parameter> <arg_key> </arg_key> <arg_value> </arg_value> <think> </think> <tool_call> </tool_call> [TOOL_CALLS] [ARGS] <|python_tag|> { } [ ] , " \\ x'.split(
        " ",
      ),
      '{"name": "f", "arguments": {',
      " ",
      "<",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 25 }),
        fc.constantFrom(...Object.values(dialects)),
        fc.constantFrom("never", "possible", "begun"),
        fc.boolean(),
        (pieces, dialect, reasoning, isParallel) => {
          const { content, calls } = parse(pieces, { dialect, reasoning, isParallel });
          if (!isParallel) expect(calls.length).toBeLessThanOrEqual(1);
          if (dialect === undefined && reasoning === "never") expect(content).toBe(pieces.join(""));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("passes text and arguments on as they come", () => {
    const parser = new MessageParser({
      reasoning: "never",
      dialect: dialects.hermes,
      isParallel: true,
    });
    expect(parser.push("Hello")).toEqual([{ kind: "content", text: "Hello" }]);
    expect(parser.push(" <tool")).toEqual([]);
    expect(parser.push('_call>{"name": "f", "argu')).toEqual([]);
    expect(parser.push('ments": {"a"')).toEqual([
      {
        kind: "toolCall",
        index: 0,
        id: expect.stringMatching(/^call_/),
        name: "f",
        arguments: '{"a"',
      },
    ]);
    expect(parser.push(": 1")).toEqual([{ kind: "toolCall", index: 0, arguments: ": 1" }]);
    expect(parser.push("}}</tool_call>")).toEqual([{ kind: "toolCall", index: 0, arguments: "}" }]);
  });
});

describe("toolDialectOf()", () => {
  it.each(["plain", "tools <tool_call><function=", "tools <|channel|><|message|>"])(
    "does not know the form of %s",
    (source) => {
      expect(toolDialectOf(source)).toBeUndefined();
    },
  );

  it("makes ids that Mistral's templates accept", () => {
    expect(dialects.mistral.newCallId()).toMatch(/^[a-z0-9]{9}$/);
  });
});
