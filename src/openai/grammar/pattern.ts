import { UsageError } from "../../core/index.ts";
import { describe } from "../request-body.ts";
import {
  EMPTY,
  type CodeRange,
  type GbnfRules,
  MAX_REPETITIONS,
  characters,
  choice,
  literal,
} from "./gbnf.ts";
import { parsePattern } from "./pattern-parser.ts";
import type { PatternNode } from "./pattern-parser.ts";
import type { Fail } from "./schema.ts";

/** What no JSON string holds as it is, and how it is written there. */
const ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x22, '\\"'],
  [0x5c, "\\\\"],
  [0x0a, "\\n"],
  [0x0d, "\\r"],
  [0x09, "\\t"],
]);
const LAST_CONTROL = 0x1f;

/**
 * The inside of a JSON string whose value matches a JavaScript pattern, as GBNF.
 *
 * @param fail called for what a grammar cannot express: look-around, back references, word borders
 */
export function patternExpression(rules: GbnfRules, pattern: string, fail: Fail): string {
  const failHere = (what: string): never =>
    fail(`cannot honour 'pattern' ${describe(pattern)}: it has ${what}`);
  return emit(rules, parsePattern(pattern, failHere), { isInJson: true, fail: failHere });
}

/**
 * A text that a pattern matches from its beginning to its end.
 *
 * @throws UsageError that names what a grammar cannot express
 */
export function textPatternExpression(rules: GbnfRules, pattern: string, param: string): string {
  const fail = (what: string): never => {
    throw new UsageError(`Cannot honour '${param}' ${describe(pattern)}: it has ${what}`, {
      param,
    });
  };
  const inside = pattern.replace(/^\^/, "").replace(/(?<!\\)\$$/, "");
  return emit(rules, parsePattern(`^(?:${inside})$`, fail), { isInJson: false, fail });
}

interface Emission {
  /** Written as the inside of a JSON string. */
  readonly isInJson: boolean;
  readonly fail: Fail;
}

function emit(rules: GbnfRules, node: PatternNode, emission: Emission): string {
  switch (node.kind) {
    case "set":
      return emission.isInJson
        ? emitSet(node.ranges, emission.fail)
        : emitPlainSet(node.ranges, emission.fail);
    case "sequence":
      return node.items.length === 0
        ? EMPTY
        : `(${node.items.map((item) => emit(rules, item, emission)).join(" ")})`;
    case "choice":
      return choice(node.items.map((item) => emit(rules, item, emission)));
    case "repeat": {
      // llama.cpp takes a repetition of what may be nothing for a rule that begins with itself.
      if (isNullable(node.item)) emission.fail("a repetition of something that may be empty");
      if (Math.max(node.min, node.max ?? 0) > MAX_REPETITIONS) {
        emission.fail(`more than ${MAX_REPETITIONS} repetitions`);
      }
      return rules.repetition(emit(rules, node.item, emission), node.min, node.max);
    }
  }
}

function isNullable(node: PatternNode): boolean {
  switch (node.kind) {
    case "set":
      return false;
    case "sequence":
      return node.items.every(isNullable);
    case "choice":
      return node.items.some(isNullable);
    case "repeat":
      return node.min === 0 || isNullable(node.item);
  }
}

function emitSet(ranges: readonly CodeRange[], fail: Fail): string {
  const has = (code: number): boolean =>
    ranges.some(([first, last]) => first <= code && code <= last);
  const alternatives: string[] = [];
  let plain: readonly CodeRange[] = without(ranges, [0, LAST_CONTROL]);
  for (const [code, escaped] of ESCAPES) {
    if (has(code)) alternatives.push(literal(escaped));
    plain = without(plain, [code, code]);
  }
  if (plain.length > 0) alternatives.unshift(characters(plain));
  if (alternatives.length === 0) fail("a set without characters that a string may hold");
  return choice(alternatives);
}

function emitPlainSet(ranges: readonly CodeRange[], fail: Fail): string {
  // To llama.cpp a zero is the end of a text.
  const plain = without(ranges, [0, 0]);
  return plain.length > 0 ? characters(plain) : fail("a set without characters");
}

function without(ranges: readonly CodeRange[], [from, to]: CodeRange): CodeRange[] {
  return ranges.flatMap(([first, last]): CodeRange[] => {
    if (last < from || first > to) return [[first, last]];
    const rest: CodeRange[] = [];
    if (first < from) rest.push([first, from - 1]);
    if (last > to) rest.push([to + 1, last]);
    return rest;
  });
}
