import { UsageError } from "../../core/index.ts";
import { describe } from "../request-body.ts";
import type { GbnfRules } from "./gbnf.ts";
import type { JsonValues } from "./json-values.ts";
import { patternExpression } from "./pattern.ts";
import { type Fail, type Schema, countOf } from "./schema.ts";
import { STRING_FORMATS } from "./string-formats.ts";

/** The strings that a schema allows. */
export function stringExpression(words: Schema, values: JsonValues, fail: Fail): string {
  const { pattern, format } = words;
  const min = countOf(words, "minLength", fail) ?? 0;
  const max = countOf(words, "maxLength", fail);
  const hasLength = min > 0 || max !== undefined;
  if (max !== undefined && max < min) fail("'maxLength' is less than 'minLength'");
  const known = typeof format === "string" ? STRING_FORMATS.get(format) : undefined;
  if (format !== undefined && known === undefined)
    fail(`cannot honour 'format' ${describe(format)}`);
  if (hasLength && (pattern !== undefined || known !== undefined)) {
    const word = pattern === undefined ? "format" : "pattern";
    fail(`cannot honour '${word}' together with 'minLength' or 'maxLength'`);
  }
  const quoted = (text: string): string => values.rules.rule(`"\\"" ${text} "\\""`);
  if (pattern !== undefined) return quoted(matching(values.rules, pattern, known, fail));
  if (known !== undefined) return quoted(patternExpression(values.rules, known, fail));
  return hasLength
    ? quoted(values.rules.repetition(values.wholeCharacter, min, max))
    : values.string;
}

/**
 * Libraries write a pattern beside a format that means the same and looks ahead, which grammars cannot:
 * then the format stands for both.
 */
function matching(
  rules: GbnfRules,
  pattern: unknown,
  format: string | undefined,
  fail: Fail,
): string {
  if (typeof pattern !== "string") return fail("expected 'pattern' to be a string");
  try {
    return patternExpression(rules, pattern, fail);
  } catch (error) {
    if (format === undefined || !(error instanceof UsageError)) throw error;
    return patternExpression(rules, format, fail);
  }
}
