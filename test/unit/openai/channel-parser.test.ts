import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChannelParser } from "../../../src/openai/channel-parser.ts";
import { ChatFormat } from "../../../src/openai/chat-format.ts";
import { toolDialectOf } from "../../../src/openai/tool-dialect.ts";

const TEMPLATE = "{{ tools }} <|start|>assistant<|channel|>commentary to=functions. <|message|>";
const dialect = toolDialectOf(TEMPLATE)!;

interface Message {
  content: string;
  reasoning: string;
  calls: { name: string; arguments: string }[];
}

function parse(
  pieces: readonly string[],
  { hasTools = true, isParallel = true }: { hasTools?: boolean; isParallel?: boolean } = {},
): Message {
  const parser = new ChannelParser({ dialect: hasTools ? dialect : undefined, isParallel });
  const parts = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.end()];
  const message: Message = { content: "", reasoning: "", calls: [] };
  for (const part of parts) {
    if (part.kind !== "toolCall") message[part.kind] += part.text;
    else if (part.id !== undefined) message.calls.push({ name: part.name!, arguments: "" });
    if (part.kind === "toolCall") message.calls[part.index]!.arguments += part.arguments;
  }
  expect(parser.hasToolCalls).toBe(message.calls.length > 0);
  return message;
}

const thoughts = "<|channel|>analysis<|message|>Let me <see>.<|end|>";
const call = (name: string, text: string): string =>
  `<|start|>assistant<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${text}<|call|>`;

const cases: readonly [text: string, message: Partial<Message>][] = [
  [
    `${thoughts}<|start|>assistant<|channel|>final<|message|>Yes.`,
    { reasoning: "Let me <see>.", content: "Yes." },
  ],
  ["<|channel|>final<|message|>a <| b <|end", { content: "a <| b <|end" }],
  ["<|channel|>analysis<|message|>never ends", { reasoning: "never ends" }],
  ["no channels <at> all", { content: "no channels <at> all" }],
  ["", {}],
  [
    thoughts + call("f", '{"a": "<b>"}'),
    { reasoning: "Let me <see>.", calls: [{ name: "f", arguments: '{"a": "<b>"}' }] },
  ],
  [
    ' to=functions.g<|channel|>commentary <|constrain|>json<|message|>{"a":1}',
    { calls: [{ name: "g", arguments: '{"a":1}' }] },
  ],
  [
    `<|channel|>commentary<|message|>I will look.<|end|>${call("f", "{}")}${call("g", "{}")}`,
    {
      content: "I will look.",
      calls: [
        { name: "f", arguments: "{}" },
        { name: "g", arguments: "{}" },
      ],
    },
  ],
];

describe("ChannelParser", () => {
  it.each(cases)("reads %j", (text, message) => {
    expect(parse([text])).toEqual({ content: "", reasoning: "", calls: [], ...message });
  });

  it("reads the same in any pieces", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 30 }),
        ([text], lengths) => {
          const pieces: string[] = [];
          for (let at = 0, i = 0; at < text.length; i++) {
            const length = lengths[i % lengths.length]!;
            pieces.push(text.slice(at, at + length));
            at += length;
          }
          expect(parse(pieces)).toEqual(parse([text]));
        },
      ),
      { numRuns: 500 },
    );
  });

  it("gives one call where only one is wanted, and none without tools", () => {
    const text = call("f", "{}") + call("g", "{}");
    expect(parse([text], { isParallel: false }).calls).toEqual([{ name: "f", arguments: "{}" }]);
    expect(parse([text], { hasTools: false })).toMatchObject({ content: "{}{}", calls: [] });
  });

  it("never fails, whatever a model writes", () => {
    const mark = fc.constantFrom(
      ..."<|channel|> <|message|> <|start|> <|end|> <|call|> <|constrain|> to=functions.f analysis final < <| x".split(
        " ",
      ),
    );
    fc.assert(
      fc.property(fc.array(mark, { maxLength: 25 }), (pieces) => {
        parse(pieces);
      }),
      { numRuns: 1000 },
    );
  });

  it("is what templates with channels ask for", () => {
    expect(new ChatFormat(TEMPLATE).reasoningStart("<|start|>assistant")).toBe("channels");
    expect(new ChatFormat("<|channel|>").reasoningStart("")).toBe("never");
  });
});
