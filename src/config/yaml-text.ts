import { parse, type ScalarTag } from "yaml";

/** Python's spelling of null, which files written for LMCache use. */
const pythonNone: ScalarTag = {
  tag: "tag:yaml.org,2002:null",
  default: true,
  identify: () => false,
  test: /^None$/,
  resolve: () => null,
};

/** @throws an error whose message says where the text is wrong */
export function parseYaml(text: string): unknown {
  // Merge keys ("<<") are part of YAML 1.1, for which these files are written.
  return parse(text, {
    customTags: [pythonNone],
    logLevel: "error",
    merge: true,
    stringKeys: true,
  });
}

/**
 * Reads a map: one that YAML or a program made, or text as people write it into one line, that is YAML,
 * JSON, a Python dict literal, and what a shell leaves of these without quotes: `{use_odirect:True}`.
 *
 * @returns undefined when it is not a map
 */
export function readMap(raw: unknown): Record<string, unknown> | undefined {
  try {
    const value = typeof raw === "string" ? parseYaml(withPlainQuotes(raw)) : raw;
    return isMap(value) ? splitGluedPairs(value) : undefined;
  } catch {
    return undefined;
  }
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withPlainQuotes(text: string): string {
  const straight = text.replaceAll(/[“”„]/g, '"').replaceAll(/[‘’]/g, "'");
  // Escaped once too often, on its way through a template: {\"use_odirect\": true}
  return /^\{\s*\\["']/.test(straight) ? straight.replaceAll(/\\(["'])/g, "$1") : straight;
}

/** Without a space behind the colon, YAML takes "key:value" for a key that has no value. */
function splitGluedPairs(map: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(map).map(([key, value]) => {
      const colon = key.indexOf(":");
      if (value === null && colon > 0) {
        return [key.slice(0, colon), parseYaml(key.slice(colon + 1))];
      }
      return [key, isMap(value) ? splitGluedPairs(value) : value];
    }),
  );
}
