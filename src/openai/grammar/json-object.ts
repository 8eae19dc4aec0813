import { EMPTY, choice, literal } from "./gbnf.ts";
import type { JsonValues } from "./json-values.ts";

export interface ObjectMember {
  readonly name: string;
  /** An expression. */
  readonly value: string;
  readonly isRequired: boolean;
}

/**
 * An object whose members come in this order. Those that are not required may be left out.
 *
 * @param others the value of further members, which come last; undefined: there are none
 */
export function objectExpression(
  values: JsonValues,
  members: readonly ObjectMember[],
  others: string | undefined,
): string {
  const { rules, space } = values;
  const other =
    others &&
    values.member(
      otherName(
        values,
        members.map(({ name }) => name),
      ),
      others,
    );
  const comma = `"," ${space}`;
  // From the last member to the first: what may follow when none has come yet, and when one has.
  let first = other === undefined ? EMPTY : rules.rule(`(${other} (${comma} ${other})*)?`);
  let next = other === undefined ? EMPTY : rules.rule(`(${comma} ${other})*`);
  for (const { name, value, isRequired } of [...members].reverse()) {
    const member = values.member(values.constant(name), value);
    const asFirst = `${member} ${next}`;
    first = rules.rule(isRequired ? asFirst : `${asFirst} | ${first}`);
    next = rules.rule(`${isRequired ? `${comma} ${member}` : `(${comma} ${member})?`} ${next}`);
  }
  return rules.rule(`"{" ${space} ${first} "}"`);
}

/** A name that is none of these: one rule for each beginning that they have. */
function otherName(values: JsonValues, names: readonly string[]): string {
  return `"\\"" ${nameBehind(values, names.map(spelled))} "\\""`;
}

/** As the inside of a JSON string. */
function spelled(name: string): string {
  return JSON.stringify(name).slice(1, -1);
}

/** @param rests what is left of the names that the text may still become */
function nameBehind(values: JsonValues, rests: readonly string[]): string {
  const { rules, character } = values;
  if (rests.length === 0) return `${character}*`;
  const byLetter = new Map<string, string[]>();
  for (const [letter, ...rest] of rests.map((text) => Array.from(text))) {
    if (letter === undefined) continue;
    byLetter.set(letter, [...(byLetter.get(letter) ?? []), rest.join("")]);
  }
  const branches = [...byLetter]
    // A name with an escape in it is left to itself: others never begin like it.
    .filter(([letter]) => letter !== "\\")
    .map(([letter, next]) => `${literal(letter)} ${nameBehind(values, next)}`);
  const taken = [...byLetter.keys()].map(inSet).join("");
  branches.push(`[^"\\\\\\x7f\\x00-\\x1f${taken}] [^"\\\\\\x7f\\x00-\\x1f]*`);
  if (!rests.includes("")) branches.push(EMPTY);
  return rules.rule(choice(branches));
}

function inSet(letter: string): string {
  return `\\U${letter.codePointAt(0)!.toString(16).padStart(8, "0")}`;
}
