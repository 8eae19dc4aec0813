import { type GbnfRules, literal } from "./gbnf.ts";

/** One character of a JSON string, as it is written. */
const CHARACTER = '[^"\\\\\\x7f\\x00-\\x1f] | "\\\\" (["\\\\/bfnrt] | "u" [0-9a-fA-F]{4})';
/** The same where characters are counted: no half of a pair. */
const WHOLE_CHARACTER =
  '[^"\\\\\\x7f\\x00-\\x1f] | "\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cefA-CEF] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))';
const NUMBER = '"-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?';
const INTEGER = '"-"? ("0" | [1-9] [0-9]{0,14})';

/** The values of JSON, as rules that are made when they are first asked for. */
export class JsonValues {
  readonly rules: GbnfRules;
  #any: string | undefined;
  #object: string | undefined;

  constructor(rules: GbnfRules) {
    this.rules = rules;
  }

  /** Between two parts: as models like to write, and never without an end. */
  get space(): string {
    return this.rules.rule('| " " | "\\n" [ \\t]{0,20}');
  }
  get character(): string {
    return this.rules.rule(CHARACTER);
  }
  /** A body for a repetition. */
  get wholeCharacter(): string {
    return WHOLE_CHARACTER;
  }
  get string(): string {
    return this.rules.rule(`"\\"" ${this.character}* "\\""`);
  }
  get number(): string {
    return this.rules.rule(NUMBER);
  }
  get integer(): string {
    return this.rules.rule(INTEGER);
  }
  get boolean(): string {
    return this.rules.rule('"true" | "false"');
  }
  get any(): string {
    return (this.#any ??= this.#defineAny());
  }
  get object(): string {
    return (this.#object ??= this.#defineObject());
  }
  get array(): string {
    return this.arrayOf(this.any);
  }

  /** A value that is known. */
  constant(value: unknown): string {
    return literal(JSON.stringify(value));
  }

  /** `"name": value`, and the space behind it. */
  member(name: string, value: string): string {
    return `${name} ":" ${this.space} ${value} ${this.space}`;
  }

  /** @param max undefined: no end */
  arrayOf(item: string, min = 0, max?: number): string {
    const { rules, space } = this;
    if (max === 0) return rules.rule(`"[" ${space} "]"`);
    const one = `${item} ${space}`;
    const more = rules.repetition(`"," ${space} ${one}`, Math.max(0, min - 1), max && max - 1);
    const items = rules.rule(`${one} ${more}`);
    return rules.rule(`"[" ${space} ${items}${min === 0 ? "?" : ""} "]"`);
  }

  #defineAny(): string {
    const { rules } = this;
    const name = (this.#any = rules.reserve());
    const { object, array, string, number, boolean } = this;
    rules.define(name, `${object} | ${array} | ${string} | ${number} | ${boolean} | "null"`);
    return name;
  }

  #defineObject(): string {
    const { rules, space } = this;
    const name = (this.#object = rules.reserve());
    const member = this.member(this.string, this.any);
    rules.define(name, `"{" ${space} (${member} ("," ${space} ${member})*)? "}"`);
    return name;
  }
}
