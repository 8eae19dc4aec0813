import { UsageError } from "../../core/index.ts";
import { describe } from "../request-body.ts";
import { type GbnfRules, choice } from "./gbnf.ts";
import { objectExpression } from "./json-object.ts";
import { JsonValues } from "./json-values.ts";
import { countOf } from "./schema.ts";
import type { Schema } from "./schema.ts";
import { numberExpression } from "./number-schema.ts";
import { stringExpression } from "./string-schema.ts";

/** Words that say nothing of which values are right. */
const ANNOTATIONS: ReadonlySet<string> = new Set(
  "title description default examples example $schema $id $comment $anchor $defs definitions deprecated readOnly writeOnly contentEncoding contentMediaType nullable strict".split(
    " ",
  ),
);
const KEYWORDS_BY_TYPE: Readonly<Record<string, readonly string[]>> = {
  object: ["properties", "required", "additionalProperties", "propertyNames"],
  array: ["items", "prefixItems", "minItems", "maxItems", "uniqueItems"],
  string: ["minLength", "maxLength", "pattern", "format"],
  number: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"],
  integer: ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "format"],
  boolean: [],
  null: [],
};
const TYPES = Object.keys(KEYWORDS_BY_TYPE).filter((type) => type !== "integer");
const MAX_PROPERTIES = 1000;
const MAX_NAME_LENGTH = 256;
const MAX_DEPTH = 64;

/** Where a schema stands, and which references led here with no part of a value between. */
interface Place {
  readonly path: string;
  readonly depth: number;
  readonly openRefs: readonly string[];
}

/**
 * Turns one JSON schema into rules that allow its values and no others. Where a schema leaves a choice
 * (the order of members, members that nothing is said of) the grammar takes the narrow one.
 */
export class JsonSchemaGrammar {
  readonly values: JsonValues;
  readonly #root: Schema;
  readonly #param: string;
  readonly #ruleByRef = new Map<string, string>();

  /** @param param the field that the schema came from, for messages */
  constructor(rules: GbnfRules, root: unknown, param: string) {
    this.values = new JsonValues(rules);
    this.#param = param;
    this.#root = Object(root) as Schema;
  }

  /**
   * @returns an expression
   * @throws UsageError that names the keyword that cannot be honoured
   */
  expression(): string {
    return this.#convert(this.#root, { path: "", depth: 0, openRefs: [] });
  }

  #convert(schema: unknown, place: Place): string {
    if (schema === true) return this.values.any;
    if (typeof schema !== "object" || schema === null || Array.isArray(schema)) {
      return this.#fail(place, `expected a schema, got ${describe(schema)}`);
    }
    if (place.depth > MAX_DEPTH) this.#fail(place, `expected at most ${MAX_DEPTH} levels`);
    const words = schema as Schema;
    if (words["$ref"] !== undefined) return this.#reference(words, place);
    if (Object.hasOwn(words, "const")) {
      this.#allow(words, place, ["const", "type"]);
      return this.values.constant(words["const"]);
    }
    if (words["enum"] !== undefined) return this.#enumeration(words, place);
    for (const word of ["anyOf", "oneOf", "allOf"]) {
      if (words[word] !== undefined) return this.#combination(words, word, place);
    }
    const types = this.#types(words, place);
    this.#allow(words, place, ["type", ...types.flatMap((type) => KEYWORDS_BY_TYPE[type]!)]);
    if (
      types.length === TYPES.length &&
      Object.keys(words).every((word) => ANNOTATIONS.has(word))
    ) {
      return this.values.any;
    }
    return choice(types.map((type) => this.#ofType(type, words, place)));
  }

  #reference(words: Schema, place: Place): string {
    this.#allow(words, place, ["$ref"]);
    const ref = words["$ref"];
    if (typeof ref !== "string" || !/^#(\/|$)/.test(ref)) {
      return this.#fail(place, `cannot honour '$ref' ${describe(ref)}: expected "#/..."`);
    }
    if (place.openRefs.includes(ref)) {
      return this.#fail(place, `'$ref' "${ref}" refers to itself and to no value`);
    }
    const known = this.#ruleByRef.get(ref);
    if (known !== undefined) return known;
    const name = this.values.rules.reserve();
    this.#ruleByRef.set(ref, name);
    const openRefs = [...place.openRefs, ref];
    const target = { path: ref.slice(2).replaceAll("/", "."), depth: place.depth + 1, openRefs };
    this.values.rules.define(name, this.#convert(this.#find(ref, place), target));
    return name;
  }

  #find(ref: string, place: Place): unknown {
    let found: unknown = this.#root;
    for (const part of ref.split("/").slice(1)) {
      const name = decodePart(part);
      found = Object.hasOwn(Object(found) as object, name) ? (found as Schema)[name] : undefined;
    }
    return found ?? this.#fail(place, `'$ref' "${ref}" refers to nothing`);
  }

  #enumeration(words: Schema, place: Place): string {
    this.#allow(words, place, ["enum", "type"]);
    const all = words["enum"];
    if (!Array.isArray(all) || all.length === 0 || all.length > MAX_PROPERTIES) {
      return this.#fail(place, `expected 'enum' to be a list of 1 to ${MAX_PROPERTIES} values`);
    }
    const types = this.#types(words, place);
    const fitting = all.filter((value) => types.some((type) => isOfType(value, type)));
    if (fitting.length === 0) this.#fail(place, "no value of 'enum' is of its 'type'");
    return choice(fitting.map((value) => this.values.constant(value)));
  }

  #combination(words: Schema, word: string, place: Place): string {
    this.#allow(words, place, [word, "type"]);
    const schemas = words[word];
    if (!Array.isArray(schemas) || schemas.length === 0 || schemas.length > MAX_PROPERTIES) {
      return this.#fail(place, `expected '${word}' to be a list of schemas`);
    }
    if (word === "allOf" && schemas.length > 1) {
      this.#fail(place, "cannot honour 'allOf' of more than one schema");
    }
    return choice(
      schemas.map((schema, index) =>
        this.#convert(schema, { ...inside(place, `${word}[${index}]`), openRefs: place.openRefs }),
      ),
    );
  }

  #types(words: Schema, place: Place): readonly string[] {
    const { type } = words;
    if (type === undefined) {
      const implied = TYPES.filter((name) =>
        KEYWORDS_BY_TYPE[name]!.some((word) => word !== "format" && words[word] !== undefined),
      );
      return implied.length === 1 ? implied : TYPES;
    }
    const list: readonly unknown[] = Array.isArray(type) ? type : [type];
    const isKnown = (name: unknown): name is string =>
      typeof name === "string" && Object.hasOwn(KEYWORDS_BY_TYPE, name);
    if (list.length === 0 || !list.every(isKnown)) {
      return this.#fail(place, `expected 'type' to name types of JSON, got ${describe(type)}`);
    }
    return words["nullable"] === true ? [...new Set([...list, "null"])] : list;
  }

  #ofType(type: string, words: Schema, place: Place): string {
    switch (type) {
      case "object":
        return this.#object(words, place);
      case "array":
        return this.#array(words, place);
      case "string":
        return stringExpression(words, this.values, (what) => this.#fail(place, what));
      case "boolean":
        return this.values.boolean;
      case "null":
        return '"null"';
      default:
        return numberExpression(words, this.values, type === "integer", (what) =>
          this.#fail(place, what),
        );
    }
  }

  #object(words: Schema, place: Place): string {
    const { properties, required = [], additionalProperties } = words;
    this.#checkPropertyNames(words["propertyNames"], place);
    const declared = Object.entries(Object(properties ?? {}) as Schema);
    if (!Array.isArray(required) || !required.every((name) => typeof name === "string")) {
      return this.#fail(place, "expected 'required' to be a list of names");
    }
    if (declared.length + required.length > MAX_PROPERTIES) {
      this.#fail(place, `expected at most ${MAX_PROPERTIES} properties`);
    }
    const longName = [...declared.map(([name]) => name), ...required].find(
      (name) => name.length > MAX_NAME_LENGTH,
    );
    if (longName !== undefined) {
      this.#fail(place, `expected names of at most ${MAX_NAME_LENGTH} characters`);
    }
    const isOpen = declared.length === 0 && additionalProperties === undefined;
    const others = additionalProperties ?? isOpen;
    if (declared.length === 0 && required.length === 0 && others === true) {
      return this.values.object;
    }
    const other =
      others === false ? undefined : this.#convert(others, inside(place, "additionalProperties"));
    const members = declared.map(([name, schema]) => ({
      name,
      value: this.#convert(schema, inside(place, `properties.${name}`)),
      isRequired: required.includes(name),
    }));
    for (const name of new Set<string>(required)) {
      if (Object.hasOwn(Object(properties ?? {}) as object, name)) continue;
      if (additionalProperties === false) {
        this.#fail(place, `'required' names "${name}", which 'additionalProperties' forbids`);
      }
      members.push({ name, value: other ?? this.values.any, isRequired: true });
    }
    return objectExpression(this.values, members, other);
  }

  /** What zod writes for records of strings, and nothing else. */
  #checkPropertyNames(names: unknown, place: Place): void {
    const isAnyString =
      names === undefined || JSON.stringify(names) === JSON.stringify({ type: "string" });
    if (!isAnyString) this.#fail(place, "cannot honour 'propertyNames'");
  }

  #array(words: Schema, place: Place): string {
    const { items, prefixItems } = words;
    if (words["uniqueItems"] === true) this.#fail(place, "cannot honour 'uniqueItems'");
    const fail = (what: string): never => this.#fail(place, what);
    const min = countOf(words, "minItems", fail) ?? 0;
    const max = countOf(words, "maxItems", fail);
    if (max !== undefined && max < min) this.#fail(place, "'maxItems' is less than 'minItems'");
    if (prefixItems !== undefined) return this.#tuple(words, place);
    const item =
      items === undefined ? this.values.any : this.#convert(items, inside(place, "items"));
    return this.values.arrayOf(item, min, max);
  }

  #tuple(words: Schema, place: Place): string {
    const { prefixItems, items, minItems, maxItems } = words;
    if (!Array.isArray(prefixItems) || prefixItems.length > MAX_PROPERTIES) {
      return this.#fail(place, "expected 'prefixItems' to be a list of schemas");
    }
    const isExact = (count: unknown): boolean =>
      count === undefined || count === prefixItems.length;
    if ((items !== undefined && items !== false) || !isExact(minItems) || !isExact(maxItems)) {
      return this.#fail(place, "cannot honour 'prefixItems' beside further items");
    }
    const { space, rules } = this.values;
    const parts = prefixItems.map(
      (schema, index) =>
        `${this.#convert(schema, inside(place, `prefixItems[${index}]`))} ${space}`,
    );
    return rules.rule(`"[" ${space} ${parts.join(` "," ${space} `)} "]"`);
  }

  /** @throws UsageError for a keyword that is not among these */
  #allow(words: Schema, place: Place, known: readonly string[]): void {
    for (const word of Object.keys(words)) {
      if (known.includes(word) || ANNOTATIONS.has(word)) continue;
      this.#fail(place, `cannot honour '${word}' here`);
    }
  }

  #paramOf(place: Place): string {
    return place.path === "" ? this.#param : `${this.#param}.${place.path}`;
  }

  #fail(place: Place, what: string): never {
    const param = this.#paramOf(place);
    throw new UsageError(`Invalid '${param}': ${what}`, { param });
  }
}

function inside(place: Place, step: string): Place {
  const path = place.path === "" ? step : `${place.path}.${step}`;
  return { path, depth: place.depth + 1, openRefs: [] };
}

/** One part of a JSON pointer in an URL fragment. */
function decodePart(part: string): string {
  const unescaped = part.replaceAll("~1", "/").replaceAll("~0", "~");
  try {
    return decodeURIComponent(unescaped);
  } catch {
    return unescaped;
  }
}

function isOfType(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "object")
    return typeof value === "object" && value !== null && !Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  return typeof value === type;
}
