import { describe } from "../request-body.ts";
import type { JsonValues } from "./json-values.ts";
import { decimalRange, integerRange } from "./number-range.ts";
import type { Fail, Schema } from "./schema.ts";

interface Bound {
  readonly value: number;
  /** Whether the bound itself is left out. */
  readonly isOpen: boolean;
}

/** The numbers that a schema allows. */
export function numberExpression(
  words: Schema,
  values: JsonValues,
  isInteger: boolean,
  fail: Fail,
): string {
  const { multipleOf } = words;
  if (multipleOf !== undefined && !(multipleOf === 1 && isInteger)) {
    fail("cannot honour 'multipleOf'");
  }
  const lowest = boundOf(words, "minimum", "exclusiveMinimum", Math.max, fail);
  const highest = boundOf(words, "maximum", "exclusiveMaximum", Math.min, fail);
  if (lowest === undefined && highest === undefined) {
    return isInteger ? values.integer : values.number;
  }
  const min = lowest && (isInteger ? wholeBound(lowest, 1) : lowest.value);
  const max = highest && (isInteger ? wholeBound(highest, -1) : highest.value);
  const isOneOpen = lowest?.isOpen === true || highest?.isOpen === true;
  if (min !== undefined && max !== undefined) {
    if (min > max || (min === max && !isInteger && isOneOpen))
      fail("no number is within its bounds");
  }
  if (isInteger) return values.rules.rule(integerRange(min, max));
  const fraction = [min, max].find((value) => value !== undefined && !Number.isInteger(value));
  if (fraction !== undefined) {
    const word = fraction === min ? "minimum" : "maximum";
    fail(`cannot honour '${word}' ${fraction} of a number: expected a whole number`);
  }
  return values.rules.rule(
    decimalRange({ min, max, isMinOpen: lowest?.isOpen, isMaxOpen: highest?.isOpen }),
  );
}

function boundOf(
  words: Schema,
  closedWord: string,
  openWord: string,
  stricter: (a: number, b: number) => number,
  fail: Fail,
): Bound | undefined {
  const closed = numberOf(words, closedWord, fail);
  const open = numberOf(words, openWord, fail);
  if (open === undefined)
    return closed === undefined ? undefined : { value: closed, isOpen: false };
  const value = closed === undefined ? open : stricter(closed, open);
  return { value, isOpen: value === open };
}

/** Undefined for a bound beyond what a double counts, which keeps nothing out. */
function numberOf(words: Schema, word: string, fail: Fail): number | undefined {
  const value = words[word];
  if (value === undefined) return undefined;
  if (typeof value !== "number") {
    return fail(`expected '${word}' to be a number, got ${describe(value)}`);
  }
  if (Math.abs(value) < Number.MAX_SAFE_INTEGER) return value;
  const isLower = word === "minimum" || word === "exclusiveMinimum";
  return isLower === value < 0 ? undefined : fail(`cannot honour '${word}' ${value}`);
}

/** The nearest whole number within a bound. @param direction 1 from below, -1 from above */
function wholeBound({ value, isOpen }: Bound, direction: 1 | -1): number {
  const whole = direction === 1 ? Math.ceil(value) : Math.floor(value);
  return isOpen && whole === value ? whole + direction : whole;
}
