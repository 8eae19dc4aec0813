import type { CodeRange } from "./gbnf.ts";
import type { Fail } from "./schema.ts";

/** A regular expression, as far as a grammar can express it. */
export type PatternNode =
  | { readonly kind: "set"; readonly ranges: readonly CodeRange[] }
  | { readonly kind: "sequence"; readonly items: readonly PatternNode[] }
  | { readonly kind: "choice"; readonly items: readonly PatternNode[] }
  | {
      readonly kind: "repeat";
      readonly item: PatternNode;
      readonly min: number;
      /** Undefined: no end. */
      readonly max: number | undefined;
    };

const LAST_CODE = 0x10ffff;
const DIGITS: readonly CodeRange[] = [[0x30, 0x39]];
const WORD: readonly CodeRange[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
];
const SPACES: readonly CodeRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
];
const LINE_ENDS: readonly CodeRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
];
const CLASSES: Readonly<Record<string, readonly CodeRange[]>> = {
  d: DIGITS,
  w: WORD,
  s: SPACES,
  D: complement(DIGITS),
  W: complement(WORD),
  S: complement(SPACES),
};
const CONTROLS: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, f: 12, v: 11, "0": 0 };
const ANYTHING: PatternNode = {
  kind: "repeat",
  item: { kind: "set", ranges: [[0, LAST_CODE]] },
  min: 0,
  max: undefined,
};
/** Groups within groups, so that no pattern exhausts the stack. */
const MAX_DEPTH = 50;

/**
 * Reads a pattern as JSON Schema means it: it may match anywhere, unless it says ^ or $.
 *
 * @param fail called with what cannot be expressed
 */
export function parsePattern(pattern: string, fail: Fail): PatternNode {
  return new PatternParser(Array.from(pattern), fail).parse();
}

class PatternParser {
  readonly #letters: readonly string[];
  readonly #fail: Fail;
  #at = 0;
  #depth = 0;

  constructor(letters: readonly string[], fail: Fail) {
    this.#letters = letters;
    this.#fail = fail;
  }

  parse(): PatternNode {
    const items = [this.#anchored()];
    while (this.#take("|")) items.push(this.#anchored());
    if (this.#at < this.#letters.length) this.#fail("a ) too many");
    return { kind: "choice", items };
  }

  /** One alternative of the whole pattern. */
  #anchored(): PatternNode {
    const isFromStart = this.#take("^");
    const items = isFromStart ? [] : [ANYTHING];
    items.push(this.#sequence());
    if (!this.#take("$")) items.push(ANYTHING);
    return { kind: "sequence", items };
  }

  #alternatives(): PatternNode {
    const items = [this.#sequence()];
    while (this.#take("|")) items.push(this.#sequence());
    return items.length === 1 ? items[0]! : { kind: "choice", items };
  }

  #sequence(): PatternNode {
    const items: PatternNode[] = [];
    for (;;) {
      const next = this.#peek();
      const isEnd = next === "$" && [undefined, "|"].includes(this.#letters[this.#at + 1]);
      if (next === undefined || next === "|" || next === ")" || isEnd) break;
      items.push(this.#repeated());
    }
    return { kind: "sequence", items };
  }

  #repeated(): PatternNode {
    const item = this.#atom();
    const bounds = this.#quantifier();
    if (bounds === undefined) return item;
    // A lazy quantifier matches the same texts.
    this.#take("?");
    if (["*", "+", "?", "{"].includes(this.#peek() ?? "")) this.#fail("two quantifiers in a row");
    return { kind: "repeat", item, min: bounds[0], max: bounds[1] };
  }

  #quantifier(): readonly [number, number | undefined] | undefined {
    if (this.#take("*")) return [0, undefined];
    if (this.#take("+")) return [1, undefined];
    if (this.#take("?")) return [0, 1];
    if (this.#peek() !== "{") return undefined;
    const rest = this.#letters.slice(this.#at, this.#at + 24).join("");
    const found = /^\{(\d{1,6})(,(\d{0,6}))?\}/.exec(rest);
    if (found === null) this.#fail("a { that is no quantifier: write \\{");
    this.#at += found[0].length;
    const min = Number(found[1]);
    if (found[2] === undefined) return [min, min];
    const max = found[3] === "" ? undefined : Number(found[3]);
    if (max !== undefined && max < min) this.#fail("a quantifier that ends before it begins");
    return [min, max];
  }

  #atom(): PatternNode {
    const letter = this.#letters[this.#at++]!;
    switch (letter) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", ranges: this.#set() };
      case ".":
        return { kind: "set", ranges: complement(LINE_ENDS) };
      case "\\":
        return { kind: "set", ranges: this.#escape() };
      case "^":
      case "$":
        return this.#fail(`a ${letter} inside`);
      case "*":
      case "+":
      case "?":
      case "{":
        return this.#fail(`a ${letter} with nothing to repeat`);
      default:
        return { kind: "set", ranges: [oneCode(letter.codePointAt(0)!)] };
    }
  }

  #group(): PatternNode {
    if (++this.#depth > MAX_DEPTH) this.#fail(`more than ${MAX_DEPTH} groups within groups`);
    if (this.#take("?")) {
      if (this.#take("<") && !["=", "!"].includes(this.#peek() ?? "")) {
        while (this.#peek() !== undefined && !this.#take(">")) this.#at++;
      } else if (!this.#take(":")) {
        this.#fail("look-around or flags");
      }
    }
    const inside = this.#alternatives();
    if (!this.#take(")")) this.#fail("a ( without its )");
    this.#depth--;
    return inside;
  }

  #set(): readonly CodeRange[] {
    const isNegated = this.#take("^");
    const ranges: CodeRange[] = [];
    while (!this.#take("]")) {
      const first = this.#setItem();
      const isRange = this.#peek() === "-" && this.#letters[this.#at + 1] !== "]";
      if (!isRange || first.length !== 1) {
        ranges.push(...first);
        continue;
      }
      this.#at++;
      const last = this.#setItem();
      const [[low], [, high]] = [first[0]!, last[0]!];
      if (last.length !== 1 || high < low) this.#fail("a range that ends before it begins");
      ranges.push([low, high]);
    }
    return isNegated ? complement(ranges) : merged(ranges);
  }

  #setItem(): readonly CodeRange[] {
    const letter = this.#letters[this.#at++];
    if (letter === undefined) return this.#fail("a [ without its ]");
    if (letter !== "\\") return [oneCode(letter.codePointAt(0)!)];
    if (this.#take("b")) return [oneCode(8)];
    return this.#escape();
  }

  #escape(): readonly CodeRange[] {
    const letter = this.#letters[this.#at++];
    if (letter === undefined) return this.#fail("a \\ at its end");
    if (CLASSES[letter] !== undefined) return CLASSES[letter];
    if (CONTROLS[letter] !== undefined) return [oneCode(CONTROLS[letter])];
    if (letter === "x" || letter === "u") return [oneCode(this.#hex(letter))];
    if (/[a-zA-Z1-9]/.test(letter)) return this.#fail(`\\${letter}`);
    return [oneCode(letter.codePointAt(0)!)];
  }

  #hex(letter: "x" | "u"): number {
    const rest = this.#letters.slice(this.#at, this.#at + 8).join("");
    const digits = letter === "x" ? /^[0-9a-f]{2}/i : /^(?:[0-9a-f]{4}|\{[0-9a-f]{1,6}\})/i;
    const found = digits.exec(rest);
    if (found === null) return this.#fail(`\\${letter} without its hex digits`);
    this.#at += found[0].length;
    const code = Number.parseInt(found[0].replace(/[{}]/g, ""), 16);
    if (code > LAST_CODE || (code >= 0xd800 && code <= 0xdfff))
      this.#fail(`\\${letter} of no character`);
    return code;
  }

  #peek(): string | undefined {
    return this.#letters[this.#at];
  }

  #take(letter: string): boolean {
    if (this.#peek() !== letter) return false;
    this.#at++;
    return true;
  }
}

function oneCode(code: number): CodeRange {
  return [code, code];
}

/** In order and without overlaps. */
function merged(ranges: readonly CodeRange[]): CodeRange[] {
  const result: [number, number][] = [];
  for (const [first, last] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const previous = result.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) {
      previous[1] = Math.max(previous[1], last);
    } else {
      result.push([first, last]);
    }
  }
  return result;
}

function complement(ranges: readonly CodeRange[]): CodeRange[] {
  const result: CodeRange[] = [];
  let next = 0;
  for (const [first, last] of merged(ranges)) {
    if (first > next) result.push([next, first - 1]);
    next = last + 1;
  }
  if (next <= LAST_CODE) result.push([next, LAST_CODE]);
  return result;
}
