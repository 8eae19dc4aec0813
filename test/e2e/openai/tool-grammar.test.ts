import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerGrammar } from "../../../src/openai/grammar/index.ts";
import type { AnswerForm } from "../../../src/openai/grammar/index.ts";
import { messageParsers } from "../../../src/openai/chat-format.ts";
import type { MessagePart } from "../../../src/openai/message-parser.ts";
import { toolDialectOf } from "../../../src/openai/tool-dialect.ts";
import type { ToolDialect, ToolMarkup } from "../../../src/openai/tool-dialect.ts";
import type { ToolFields } from "../../../src/openai/tools.ts";
import { chatTemplates } from "./chat-templates.ts";
import { GrammarWalker } from "./grammar-walker.ts";

let walker: GrammarWalker;
beforeAll(async () => {
  walker = await GrammarWalker.open();
});
afterAll(() => walker[Symbol.dispose]());

const tools: readonly ToolFields[] = [
  {
    type: "function",
    function: {
      name: "weather",
      parameters: {
        type: "object",
        properties: {
          town: { enum: ["Bern", "Wien"] },
          days: { type: "integer", minimum: 1, maximum: 9 },
        },
        required: ["town"],
      },
    },
  },
  { type: "function", function: { name: "now" } },
];
const strictTools: readonly ToolFields[] = tools.map((tool) => ({
  ...tool,
  function: { ...tool.function, strict: true },
}));

const { hermes, llama3, mistral, mistralNamed, qwenCoder, glm } = chatTemplates;
const sources = { hermes, llama3, mistral, mistralNamed, qwenCoder, glm };
const dialects = Object.entries(sources).map(([name, source]): [string, ToolDialect] => [
  name,
  toolDialectOf(source)!,
]);

function partsOf({ reasoning, tools: given }: AnswerForm, text: string): MessagePart[] {
  const parser = messageParsers(reasoning, given)();
  return [...parser.push(text), ...parser.end()];
}

describe.each(dialects)("calls as %s writes them", (_, dialect) => {
  it("are what a model of no skill writes when it must, and are read again", () => {
    const wish = { tools, isRequired: true, isParallel: true };
    const form: AnswerForm = { format: undefined, reasoning: "never", tools: { wish, dialect } };
    const grammar = answerGrammar(form)!;
    const names = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const text = walker.write(grammar, seed)!;
      const parts = partsOf(form, text);
      expect(parts.length, text).toBeGreaterThan(0);
      for (const part of parts) {
        if (part.kind !== "toolCall") throw new Error(`Not only calls: ${text}`);
        const given = JSON.parse(part.arguments) as Record<string, unknown>;
        names.add(part.name!);
        if (part.name === "now") expect(given).toEqual({});
        else expect(["Bern", "Wien"]).toContain(given["town"]);
      }
    }
    expect([...names].sort()).toEqual(["now", "weather"]);
  });

  it("are one call of one function when the request names it", () => {
    const wish = { tools, onlyName: "now", isRequired: true, isParallel: false };
    const form: AnswerForm = { format: undefined, reasoning: "never", tools: { wish, dialect } };
    for (let seed = 0; seed < 5; seed++) {
      const text = walker.write(answerGrammar(form)!, seed)!;
      expect(partsOf(form, text)).toEqual([
        { kind: "toolCall", index: 0, id: expect.any(String), name: "now", arguments: "{}" },
      ]);
    }
  });

  it("leave any text to an answer that may call strict tools, but no call of another form", () => {
    const wish = { tools: strictTools, isRequired: false, isParallel: true };
    const form: AnswerForm = { format: undefined, reasoning: "never", tools: { wish, dialect } };
    const grammar = answerGrammar(form)!;
    const { begin, beginCall, endCall, end } = dialect.layout;
    const markedUp = (name: string, given: string, markup: ToolMarkup): string => {
      const { keyEnd, valueEnd, nameEnd } = markup.write;
      const members = Object.entries(JSON.parse(given) as Record<string, unknown>).map(
        ([key, value]) => `${markup.keyBegin}${key}${keyEnd}${String(value)}${valueEnd}`,
      );
      return `${markup.begin}${name}${nameEnd}${members.join("")}${markup.end}`;
    };
    const callOf = (name: string, given: string): string => {
      const { markup } = dialect;
      const call = markup
        ? markedUp(name, given, markup)
        : dialect.nameEnd === undefined
          ? `{"name": "${name}", "${dialect.argumentsKey}": ${given}}`
          : `${name}${dialect.nameEnd}${given}`;
      return begin + beginCall + call + endCall + end;
    };
    for (const text of [
      "",
      "Hello <b> [x] é",
      callOf("now", "{}"),
      callOf("weather", '{"town": "Bern"}'),
    ]) {
      expect(walker.accepts(grammar, text), text).toBe(true);
    }
    for (const text of [callOf("now", '{"x": 1}'), callOf("then", "{}"), callOf("weather", "{}")]) {
      expect(walker.accepts(grammar, text), text).toBe(false);
    }
  });

  it("may follow thoughts", () => {
    const wish = { tools, onlyName: "now", isRequired: true, isParallel: false };
    for (const reasoning of ["begun", "possible"] as const) {
      const form: AnswerForm = { format: undefined, reasoning, tools: { wish, dialect } };
      const grammar = answerGrammar(form)!;
      const call = walker.write(answerGrammar({ ...form, reasoning: "never" })!, 1)!;
      const thoughts = "a <b </thin </think>\n";
      const begin = reasoning === "possible" ? "<think>" : "";
      expect(walker.accepts(grammar, begin + thoughts + call)).toBe(true);
      expect(walker.accepts(grammar, call)).toBe(reasoning === "possible");
      expect(partsOf(form, begin + thoughts + call).map((part) => part.kind)).toEqual([
        "reasoning",
        "toolCall",
      ]);
    }
  });
});

describe("answers in channels", () => {
  const dialect = toolDialectOf(chatTemplates.channels)!;
  const thoughts = "<|channel|>analysis<|message|>a <b</see><|end|><|start|>assistant";
  const callOf = (name: string, given: string): string =>
    `<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${given}`;

  it("are calls that a model of no skill writes when it must", () => {
    const wish = { tools, isRequired: true, isParallel: true };
    const form: AnswerForm = { format: undefined, reasoning: "channels", tools: { wish, dialect } };
    const grammar = answerGrammar(form)!;
    const withoutThoughts = answerGrammar({ ...form, reasoning: "never" })!;
    for (let seed = 0; seed < 10; seed++) {
      const parts = partsOf(form, walker.write(withoutThoughts, seed)!);
      const calls = parts.filter((part) => part.kind === "toolCall" && part.id !== undefined);
      expect(calls).toHaveLength(1);
    }
    expect(walker.accepts(grammar, thoughts + callOf("now", "{}"))).toBe(true);
    expect(walker.accepts(grammar, `${thoughts}<|channel|>final<|message|>no`)).toBe(false);
  });

  it("are free where strict tools may be called, and their calls are not", () => {
    const wish = { tools: strictTools, isRequired: false, isParallel: true };
    const form: AnswerForm = { format: undefined, reasoning: "channels", tools: { wish, dialect } };
    const grammar = answerGrammar(form)!;
    for (const text of ["<|channel|>final<|message|>yes", callOf("weather", '{"town": "Bern"}')]) {
      expect(walker.accepts(grammar, thoughts + text), text).toBe(true);
      expect(walker.accepts(grammar, text), text).toBe(true);
    }
    expect(walker.accepts(grammar, thoughts + callOf("weather", "{}"))).toBe(false);
    expect(walker.accepts(grammar, thoughts + callOf("then", "{}"))).toBe(false);
  });

  it("have their format in the last channel", () => {
    const format = { kind: "object" } as const;
    const grammar = answerGrammar({ format, reasoning: "channels", tools: undefined })!;
    expect(walker.accepts(grammar, `${thoughts}<|channel|>final<|message|>{"a": 1}`)).toBe(true);
    expect(walker.accepts(grammar, `${thoughts}{"a": 1}`)).toBe(false);
  });
});

describe("answerGrammar()", () => {
  const dialect = toolDialectOf(hermes)!;

  it("lets any text through where nothing is asked", () => {
    const wish = { tools, isRequired: false, isParallel: true };
    expect(
      answerGrammar({ format: undefined, reasoning: "possible", tools: undefined }),
    ).toBeUndefined();
    expect(
      answerGrammar({ format: undefined, reasoning: "never", tools: { wish, dialect } }),
    ).toBeUndefined();
  });

  it("allows a call or an answer in the format where both are asked for", () => {
    const wish = { tools, isRequired: false, isParallel: false };
    const format = { kind: "object" } as const;
    const grammar = answerGrammar({ format, reasoning: "never", tools: { wish, dialect } })!;
    const call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>';
    expect(walker.accepts(grammar, call)).toBe(true);
    expect(walker.accepts(grammar, '{"a": 1}')).toBe(true);
    expect(walker.accepts(grammar, "text")).toBe(false);
  });

  it("takes a schema that it cannot honour for advice, unless the function is strict", () => {
    const parameters = { type: "object", properties: { a: { not: {} } } };
    const formOf = (strict: boolean): AnswerForm => ({
      format: undefined,
      reasoning: "never",
      tools: {
        dialect,
        wish: {
          tools: [{ type: "function", function: { name: "f", parameters, strict } }],
          isRequired: true,
          isParallel: false,
        },
      },
    });
    const call = '<tool_call>\n{"name": "f", "arguments": {"a": 5}}\n</tool_call>';
    expect(walker.accepts(answerGrammar(formOf(false))!, call)).toBe(true);
    expect(() => answerGrammar(formOf(true))).toThrow(
      "Invalid 'tools[0].function.parameters.properties.a': cannot honour 'not' here",
    );
  });
});
