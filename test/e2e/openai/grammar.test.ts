import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { UsageError } from "../../../src/core/index.ts";
import { answerGrammar } from "../../../src/openai/grammar/index.ts";
import { GrammarWalker } from "./grammar-walker.ts";

let walker: GrammarWalker;
beforeAll(async () => {
  walker = await GrammarWalker.open();
});
afterAll(() => walker[Symbol.dispose]());

const noTools = { reasoning: "never", tools: undefined } as const;

function jsonSchemaGrammar(schema: object): string {
  const format = { kind: "schema", schema: { ...schema }, param: "schema" } as const;
  return answerGrammar({ ...noTools, format })!;
}

type Schema = Parameters<typeof z.fromJSONSchema>[0];

/** Writes some answers and checks each one against the schema. @returns how many had an end */
function checkAnswers(schema: object, numAnswers = 12): number {
  const grammar = jsonSchemaGrammar(schema);
  const check = z.fromJSONSchema(schema as Schema);
  let numEnded = 0;
  for (let seed = 0; seed < numAnswers; seed++) {
    const text = walker.write(grammar, seed);
    if (text === undefined) continue;
    numEnded++;
    const result = check.safeParse(JSON.parse(text));
    expect(result.error?.issues, `${text} of ${JSON.stringify(schema)}`).toBeUndefined();
  }
  return numEnded;
}

const person = z.object({
  name: z.string().min(1).max(20),
  age: z.int().min(0).max(130),
  email: z.email(),
  born: z.iso.date(),
  id: z.uuid(),
  seen: z.iso.datetime().nullable(),
  score: z.number().min(0).max(1),
  tags: z
    .array(z.enum(["a", "b", 'quote"d']))
    .min(1)
    .max(3),
  pets: z.record(z.string(), z.number()).optional(),
  shape: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("round"), radius: z.number().positive() }),
    z.object({ kind: z.literal("square"), side: z.number().negative().optional() }),
  ]),
});

const linkedList = {
  $ref: "#/$defs/node",
  $defs: {
    node: {
      type: "object",
      properties: {
        value: { type: "boolean" },
        next: { anyOf: [{ $ref: "#/$defs/node" }, { type: "null" }] },
      },
      required: ["value", "next"],
      additionalProperties: false,
    },
  },
};

describe("a grammar of a JSON schema", () => {
  it("lets a model of no skill write what zod's own schemas accept", () => {
    expect(checkAnswers(z.toJSONSchema(person), 40)).toBeGreaterThan(20);
  });

  it.each<[string, object]>([
    ["linked list", linkedList],
    ["any value", {}],
    ["types", { type: ["string", "null", "integer"] }],
    ["constants", { const: 'a "b"\n\\' }],
    [
      "a tuple",
      { type: "array", prefixItems: [{ type: "null" }, { type: "boolean" }], items: false },
    ],
    ["no items", { type: "array", items: { type: "string" }, maxItems: 0 }],
    ["counted items", { type: "array", items: { type: "null" }, minItems: 3, maxItems: 5 }],
    ["a pattern", { type: "string", pattern: '^[a-c"\\\\]{2,4}(-\\d+|x?)$' }],
    ["a negated set", { type: "string", pattern: "^[^a-z0-9]{3}$" }],
    [
      "other members",
      {
        type: "object",
        properties: { ab: { type: "null" }, ac: { type: "null" } },
        required: ["ab"],
        additionalProperties: { type: "integer" },
      },
    ],
    [
      "members without order",
      {
        type: "object",
        properties: { a: { type: "null" }, b: { type: "null" }, c: { type: "null" } },
        required: ["b"],
      },
    ],
    [
      "required without a schema",
      { type: "object", required: ["x"], additionalProperties: { type: "null" } },
    ],
    ["one allOf", { allOf: [{ type: "integer", minimum: 3 }] }],
    ["a time", { type: "string", format: "time" }],
    ["IPv4", { type: "string", format: "ipv4" }],
  ])("%s: every answer is of the schema", (_, schema) => {
    expect(checkAnswers(schema)).toBeGreaterThan(0);
  });

  it("knows every whole number between two bounds, and no other", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1200, max: 1200 }),
        fc.nat(2500),
        fc.array(fc.integer({ min: -4000, max: 4000 }), { minLength: 20, maxLength: 20 }),
        (minimum, length, numbers) => {
          const maximum = minimum + length;
          const grammar = jsonSchemaGrammar({ type: "integer", minimum, maximum });
          for (const number of [...numbers, minimum, maximum, minimum - 1, maximum + 1]) {
            const isWithin = minimum <= number && number <= maximum;
            expect(walker.accepts(grammar, String(number)), `${number} in ${grammar}`).toBe(
              isWithin,
            );
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("keeps numbers with fractions within their bounds", () => {
    const bound = fc.integer({ min: -30, max: 30 });
    fc.assert(
      fc.property(bound, bound, fc.boolean(), fc.boolean(), (a, b, isMinOpen, isMaxOpen) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b) + 1];
        checkAnswers(
          {
            type: "number",
            [isMinOpen ? "exclusiveMinimum" : "minimum"]: low,
            [isMaxOpen ? "exclusiveMaximum" : "maximum"]: high,
          },
          5,
        );
      }),
      { numRuns: 60 },
    );
  });

  it("agrees with JavaScript on what a pattern matches", () => {
    const letter = fc.constantFrom("a", "b", "-", '"', "\\", "é", "\n", "7", " ");
    const patterns = [
      "^(a|b-)*7?$",
      '^["\\\\]+$',
      "^[^a]\\w$",
      "b.a",
      "^a{1,2}$|^-$",
      "^\\s\\S$",
      "^(?:a|(?<x>b))+?$",
      "^\\u00e9[\\x61-b]$",
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...patterns),
        fc.array(letter, { maxLength: 5 }),
        (pattern, letters) => {
          const text = letters.join("");
          const grammar = jsonSchemaGrammar({ type: "string", pattern });
          const isMatch = new RegExp(pattern, "u").test(text);
          expect(walker.accepts(grammar, JSON.stringify(text)), `${pattern} of ${text}`).toBe(
            isMatch,
          );
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** Schemas of all kinds, right and wrong. */
const { schema: anySchema } = fc.letrec((tie) => {
  const count = fc.oneof(fc.nat(4), fc.constantFrom(2000, 2001, -1, "x"));
  const number = fc.oneof(fc.integer({ min: -50, max: 50 }), fc.constantFrom(0.5, 1e300, -1e300));
  const schemas = fc.array(tie("schema"), { maxLength: 3 });
  const pattern = fc
    .array(fc.constantFrom(..."a b ^ $ . * + ? | ( ) [ ] [^ - {2} \\d \\W \\b".split(" ")), {
      maxLength: 6,
    })
    .map((parts) => parts.join(""));
  const reference = fc.constantFrom("#", "#/$defs/a", "#/$defs/b", "#/properties/x", "b", 5);
  return {
    schema: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom(true, {}, { type: "string" }, { type: "integer" }, { enum: ["a", 1, null] }),
      fc.record({ $ref: reference }),
      fc.record({ anyOf: schemas }),
      fc.record({ oneOf: schemas }),
      fc.record({ allOf: schemas }),
      fc.record(
        { type: fc.constant("string"), minLength: count, maxLength: count },
        { requiredKeys: ["type"] },
      ),
      fc.record(
        { pattern, format: fc.constantFrom("email", "date", "odd") },
        { requiredKeys: ["pattern"] },
      ),
      fc.record(
        {
          type: fc.constantFrom("number", "integer", ["integer", "null"]),
          minimum: number,
          maximum: number,
          exclusiveMinimum: number,
          exclusiveMaximum: number,
        },
        { requiredKeys: ["type"] },
      ),
      fc.record(
        { items: tie("schema"), minItems: count, maxItems: count },
        { requiredKeys: ["items"] },
      ),
      fc.record(
        {
          type: fc.constant("object"),
          properties: fc.dictionary(fc.string({ unit: "binary", maxLength: 3 }), tie("schema"), {
            maxKeys: 3,
          }),
          required: fc.array(fc.constantFrom("a", "b", ""), { maxLength: 2 }),
          additionalProperties: fc.oneof(fc.boolean(), tie("schema")),
          $defs: fc.record({ a: tie("schema"), b: tie("schema") }),
        },
        { requiredKeys: ["type"] },
      ),
    ),
  };
});

describe("a grammar of any schema", () => {
  it("can be read by llama.cpp, or the schema is refused", () => {
    let numRead = 0;
    fc.assert(
      fc.property(anySchema, fc.integer(), (schema, seed) => {
        let grammar: string;
        try {
          grammar = jsonSchemaGrammar(schema as object);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
          return;
        }
        walker.write(grammar, seed, 60);
        numRead++;
      }),
      { numRuns: 1500 },
    );
    expect(numRead).toBeGreaterThan(300);
  });
});

describe("a schema that asks for too much", () => {
  const stringOf = (maxLength: number): object => ({ type: "string", maxLength });
  const objectOf = (properties: object, more: object = {}): object => ({
    type: "object",
    properties,
    additionalProperties: { type: "null" },
    ...more,
  });
  const entries = <Value>(count: number, valueOf: (i: number) => Value): Record<string, Value> =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, valueOf(i)]));

  it.each<[string, object, string]>([
    ["characters", objectOf(entries(20, (i) => stringOf(1500 + i))), "add up to more than 20000"],
    ["a long string", stringOf(2001), "up to 2000"],
    ["a long name", objectOf({ ["x".repeat(100_000)]: {} }), "at most 256 characters"],
    ["a long required name", objectOf({}, { required: ["x".repeat(500)] }), "at most 256"],
    ["properties", objectOf(entries(1001, () => ({}))), "at most 1000 properties"],
    ["text", { enum: entries(1, () => 0) }, "list of 1 to 1000"],
    ["room", { enum: ["x".repeat(300_000)] }, "too large"],
    ["levels", nested(80), "at most 64 levels"],
  ])("%s: is refused", (_, schema, message) => {
    expect(() => jsonSchemaGrammar(schema)).toThrow(message);
  });

  it("is honoured up to the limits without making others wait", () => {
    const schema = objectOf(entries(9, (i) => stringOf(1990 + i)));
    const startMs = performance.now();
    walker.write(jsonSchemaGrammar(schema), 1, 50);
    expect(performance.now() - startMs).toBeLessThan(3000);
  });

  function nested(depth: number): object {
    return depth === 0 ? {} : { type: "array", items: nested(depth - 1) };
  }
});

describe("a grammar of constants", () => {
  it("allows the value of an object or a list as JSON.stringify writes it", () => {
    const value = { a: [1, "\n\\é"], b: null };
    for (const schema of [{ const: value }, { enum: [value, 1] }]) {
      const grammar = jsonSchemaGrammar(schema);
      expect(walker.accepts(grammar, JSON.stringify(value))).toBe(true);
      expect(walker.accepts(grammar, JSON.stringify({ ...value, b: 0 }))).toBe(false);
    }
  });
});

describe("a grammar of texts", () => {
  it("allows what a pattern matches as a whole", () => {
    const patterns = ["[a-c]+", "^a|bc$", "\\d{3}-\\d{2}", 'x"\\\\y', "[^\\n]?\\$", "(é|\\s)*z"];
    const texts = ["abc", "a", "bc", "abcd", "123-45", 'x"\\y', "5$", "$", "é\t z", "", "z"];
    for (const pattern of patterns) {
      const grammar = answerGrammar({
        ...noTools,
        format: { kind: "pattern", pattern, param: "p" },
      });
      const whole = new RegExp(
        `^(?:${pattern.replace(/^\^/, "").replace(/(?<!\\)\$$/, "")})$`,
        "u",
      );
      for (const text of texts) {
        const isMatch = whole.test(text);
        expect(walker.accepts(grammar!, text), `${pattern} of ${text}`).toBe(isMatch);
      }
    }
  });

  it("names what a grammar cannot express of a pattern", () => {
    const format = { kind: "pattern", pattern: "a(?=b)", param: "guided_regex" } as const;
    expect(() => answerGrammar({ ...noTools, format })).toThrow(
      /'guided_regex' "a\(\?=b\)": it has/,
    );
  });

  it("allows one of the choices", () => {
    const format = { kind: "choice", texts: ["yes", 'no "way"\n'] } as const;
    const grammar = answerGrammar({ ...noTools, format })!;
    for (const text of format.texts) expect(walker.accepts(grammar, text)).toBe(true);
    for (const text of ["", "ye", "yesno"]) expect(walker.accepts(grammar, text)).toBe(false);
  });
});

describe("a grammar of any object", () => {
  it("allows objects and nothing else", () => {
    const grammar = answerGrammar({ ...noTools, format: { kind: "object" } })!;
    for (const text of ["{}", '{"a": [1, {"b": -1.5e3}], "c": "\\u00e9"}', '{\n  "x": null\n}']) {
      expect(walker.accepts(grammar, text), text).toBe(true);
    }
    for (const text of ["[]", "1", '{"a"}', "{} x", '{"a": 01}', "{a: 1}", " {}", '{"a": "\n"}']) {
      expect(walker.accepts(grammar, text), text).toBe(false);
    }
  });
});
