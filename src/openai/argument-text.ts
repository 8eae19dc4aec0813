/** Deep enough for schemas that people write; references may form a ring. */
const MAX_DEPTH = 8;

/**
 * The JSON types that a schema allows, as far as it says.
 *
 * @param root what "#/..." refers into
 * @returns undefined when it says nothing
 */
export function typesOf(
  schema: unknown,
  root: unknown,
  depth = 0,
): ReadonlySet<string> | undefined {
  if (depth > MAX_DEPTH) return undefined;
  const words = Object(resolveSchema(schema, root)) as Record<string, unknown>;
  const { type } = words;
  if (type !== undefined) return new Set([type].flat().map(String));
  const values = words["enum"] ?? (Object.hasOwn(words, "const") ? [words["const"]] : undefined);
  if (Array.isArray(values)) return new Set(values.map(typeOf));
  const choices = words["anyOf"] ?? words["oneOf"] ?? words["allOf"];
  if (!Array.isArray(choices)) return undefined;
  const all = choices.map((choice) => typesOf(choice, root, depth + 1));
  return all.includes(undefined) ? undefined : new Set(all.flatMap((types) => [...types!]));
}

/** What a schema refers to, if it does nothing else. */
export function resolveSchema(schema: unknown, root: unknown): unknown {
  let words = Object(schema) as Record<string, unknown>;
  for (let i = 0; i < MAX_DEPTH && typeof words["$ref"] === "string"; i++) {
    words = Object(find(words["$ref"], root)) as Record<string, unknown>;
  }
  return words;
}

function find(reference: string, root: unknown): unknown {
  let found = root;
  for (const part of reference.split("/").slice(1)) {
    found = Object.hasOwn(Object(found) as object, part)
      ? (found as Record<string, unknown>)[part]
      : undefined;
  }
  return found;
}

/** Models that were taught Python write these, too. */
const PYTHON_WORDS: ReadonlyMap<string, string> = new Map([
  ["True", "true"],
  ["False", "false"],
  ["None", "null"],
]);

/**
 * The JSON of an argument that was written as plain text: text as it stands, everything else as JSON.
 *
 * @param types that its schema allows; undefined: it says nothing, so it is text
 */
export function argumentJson(text: string, types: ReadonlySet<string> | undefined): string {
  const isTextOnly = types === undefined || (types.size === 1 && types.has("string"));
  if (isTextOnly) return JSON.stringify(text);
  const trimmed = text.trim();
  const json = PYTHON_WORDS.get(trimmed) ?? trimmed;
  try {
    const type = typeOf(JSON.parse(json));
    const isFitting = types.has(type) || (type === "integer" && types.has("number"));
    if (isFitting || !types.has("string")) return json;
  } catch {
    // No JSON, so it is text.
  }
  return JSON.stringify(text);
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return Number.isInteger(value) ? "integer" : typeof value;
}
