import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { answerGrammar } from "../../../src/openai/grammar/index.ts";
import type { AnswerForm } from "../../../src/openai/grammar/index.ts";
import { MessageParser } from "../../../src/openai/message-parser.ts";
import type { MessagePart } from "../../../src/openai/message-parser.ts";
import { toolDialectOf } from "../../../src/openai/tool-dialect.ts";
import type { ToolDialect } from "../../../src/openai/tool-dialect.ts";
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

const { hermes, llama3, mistral, mistralNamed } = chatTemplates;
const dialects = Object.entries({ hermes, llama3, mistral, mistralNamed }).map(
  ([name, source]): [string, ToolDialect] => [name, toolDialectOf(source)!],
);

function partsOf(form: AnswerForm, text: string): MessagePart[] {
  const { reasoning, tools: given } = form;
  const parser = new MessageParser({ reasoning, dialect: given!.dialect, isParallel: true });
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
    const callOf = (name: string, given: string): string => {
      const call =
        dialect.nameEnd === undefined
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

describe("answerGrammar()", () => {
  const dialect = toolDialectOf(hermes)!;

  it("lets any text through where nothing is asked", () => {
    const wish = { tools, isRequired: false, isParallel: true };
    expect(
      answerGrammar({ format: undefined, reasoning: "possible", tools: undefined }),
    ).toBeUndefined();
    expect(
      answerGrammar({ format: { type: "text" }, reasoning: "never", tools: { wish, dialect } }),
    ).toBeUndefined();
  });

  it("allows a call or an answer in the format where both are asked for", () => {
    const wish = { tools, isRequired: false, isParallel: false };
    const format = { type: "json_object" } as const;
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
