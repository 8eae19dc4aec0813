import { describe } from "../request-body.ts";
import { MAX_REPETITIONS } from "./gbnf.ts";

/** A JSON schema, or a part of one. */
export type Schema = Readonly<Record<string, unknown>>;

/** Throws a UsageError that names the place and what cannot be honoured there. */
export type Fail = (what: string) => never;

/** The value of a keyword that counts something. */
export function countOf(words: Schema, word: string, fail: Fail): number | undefined {
  const value = words[word];
  if (value === undefined) return undefined;
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > MAX_REPETITIONS) {
    fail(
      `cannot honour '${word}' ${describe(value)}: expected a whole number up to ${MAX_REPETITIONS}`,
    );
  }
  return value as number;
}
