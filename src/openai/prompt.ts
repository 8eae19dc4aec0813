import { UsageError } from "../core/index.ts";
import { describe } from "./request-body.ts";

/** One prompt of a completion request. */
export type Prompt =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "tokens"; readonly tokens: Int32Array };

export const MAX_PROMPTS = 128;
const MAX_TOKEN_ID = 2 ** 31 - 1;

const WANTED = "expected a string, token ids, a list of strings or a list of lists of token ids";

/**
 * Reads the four forms of `prompt` and `input`. By hand: a schema tries the forms one after the other, over
 * hundreds of thousands of token ids.
 *
 * @throws UsageError that names the item that is wrong
 */
export function readPrompts(value: unknown, param: string, maxPrompts: number): Prompt[] {
  if (typeof value === "string") return [{ kind: "text", text: value }];
  if (!Array.isArray(value) || value.length === 0) fail(param, value);
  if (typeof value[0] === "number") return [readTokens(value, param)];
  if (value.length > maxPrompts) {
    throw new UsageError(
      `Invalid '${param}': expected at most ${maxPrompts} of them, got ${value.length}`,
      { param },
    );
  }
  return value.map((item: unknown, index): Prompt => {
    if (typeof item === "string") return { kind: "text", text: item };
    if (!Array.isArray(item) || item.length === 0) fail(`${param}[${index}]`, item);
    return readTokens(item, `${param}[${index}]`);
  });
}

/** @throws UsageError for anything but whole numbers of 31 bits */
export function readTokenIds(value: readonly unknown[], param: string): Int32Array {
  const tokens = new Int32Array(value.length);
  for (let i = 0; i < value.length; i++) {
    const id = value[i];
    if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id > MAX_TOKEN_ID) {
      throw new UsageError(`Invalid '${param}[${i}]': expected a token id, got ${describe(id)}`, {
        param: `${param}[${i}]`,
      });
    }
    tokens[i] = id;
  }
  return tokens;
}

function readTokens(value: readonly unknown[], param: string): Prompt {
  return { kind: "tokens", tokens: readTokenIds(value, param) };
}

function fail(param: string, value: unknown): never {
  const got = value === undefined ? "it is missing" : `got ${describe(value)}`;
  throw new UsageError(`Invalid '${param}': ${WANTED}, ${got}`, { param });
}
