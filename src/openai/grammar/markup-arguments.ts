import { UsageError } from "../../core/index.ts";
import { resolveSchema, typesOf } from "../argument-text.ts";
import type { ToolMarkup } from "../tool-dialect.ts";
import { type GbnfRules, choice, literal, textWithout } from "./gbnf.ts";
import { JsonSchemaGrammar } from "./json-schema.ts";
import type { Schema } from "./schema.ts";

/** Of arguments that no schema names. */
const MAX_ARGUMENTS = 16;
const KEY = "[a-zA-Z0-9_.-]{1,64}";
/** What says more of a text than that it is one: plain text between tags cannot be held to it. */
const TEXT_KEYWORDS = ["minLength", "maxLength", "pattern", "format"];
const ROOT_KEYWORDS = new Set(
  "type properties required additionalProperties $defs definitions title description $schema".split(
    " ",
  ),
);

/** Any arguments between tags. */
export function anyMarkupArguments(rules: GbnfRules, markup: ToolMarkup): string {
  const one = argument(markup, KEY, textWithout(rules, markup.valueEnd));
  return rules.repetition(one, 0, MAX_ARGUMENTS);
}

/**
 * The arguments that a schema allows, between tags, in its order.
 *
 * @throws UsageError that names what cannot be honoured
 */
export function markupArguments(
  rules: GbnfRules,
  markup: ToolMarkup,
  schema: Schema,
  param: string,
): string {
  const { properties, required = [], additionalProperties } = schema;
  const unknown = Object.keys(schema).find((word) => !ROOT_KEYWORDS.has(word));
  if (unknown !== undefined) fail(param, `cannot honour '${unknown}' here`);
  const declared = Object.entries(Object(properties ?? {}) as Schema);
  if (!Array.isArray(required)) return fail(param, "expected 'required' to be a list of names");
  const isOpen = additionalProperties !== false;
  if (declared.length === 0 && required.length === 0 && isOpen) {
    return anyMarkupArguments(rules, markup);
  }
  const missing: unknown = required.find((name) => !declared.some(([key]) => key === name));
  if (missing !== undefined) fail(param, `'required' names a property that is not there`);
  const members = declared.map(([key, property]) => {
    const value = valueExpression(rules, markup, property, {
      root: schema,
      param: `${param}.properties.${key}`,
      depth: 0,
    });
    const member = argument(markup, literal(key), value);
    return required.includes(key) ? member : `(${member})?`;
  });
  return members.length === 0 ? literal("") : members.join(" ");
}

interface Place {
  readonly root: Schema;
  readonly param: string;
  readonly depth: number;
}

const MAX_DEPTH = 8;

function valueExpression(
  rules: GbnfRules,
  markup: ToolMarkup,
  property: unknown,
  place: Place,
): string {
  const { root, param, depth } = place;
  if (depth > MAX_DEPTH) fail(param, `expected at most ${MAX_DEPTH} levels`);
  const words = Object(resolveSchema(property, root)) as Schema;
  const values = words["enum"] ?? (Object.hasOwn(words, "const") ? [words["const"]] : undefined);
  if (Array.isArray(values)) {
    return choice(values.map((value) => literal(plainText(value))));
  }
  const choices = words["anyOf"] ?? words["oneOf"];
  if (Array.isArray(choices)) {
    const inside = { ...place, depth: depth + 1 };
    return choice(choices.map((item) => valueExpression(rules, markup, item, inside)));
  }
  const types = typesOf(words, root);
  if (types === undefined) return textWithout(rules, markup.valueEnd);
  return choice(
    [...types].map((type) => {
      if (type !== "string") {
        const { $defs, definitions } = root;
        const schema = { ...words, type, $defs, definitions };
        return new JsonSchemaGrammar(rules, schema, param).expression();
      }
      const keyword = TEXT_KEYWORDS.find((word) => words[word] !== undefined);
      if (keyword !== undefined) {
        fail(param, `cannot honour '${keyword}': this model writes texts without quotes`);
      }
      return textWithout(rules, markup.valueEnd);
    }),
  );
}

function argument({ keyBegin, write }: ToolMarkup, key: string, value: string): string {
  return `${literal(keyBegin)} ${key} ${literal(write.keyEnd)} ${value} ${literal(write.valueEnd)}`;
}

function plainText(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

function fail(param: string, what: string): never {
  throw new UsageError(`Invalid '${param}': ${what}`, { param });
}
