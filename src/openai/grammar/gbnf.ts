import { UsageError } from "../../core/index.ts";

/** llama.cpp copies what a repetition repeats, and refuses more copies than this. */
export const MAX_REPETITIONS = 2000;
/** Of all repetitions of a grammar together: each copy is a rule, and all of them are made before the first token. */
const MAX_COPIES = 20_000;
/** A grammar is copied into each request that asks for it. */
const MAX_GRAMMAR_LENGTH = 256 * 1024;

/**
 * The rules of one grammar in GBNF, llama.cpp's notation. Expressions are GBNF texts; a rule gives one a
 * name, so that it can be repeated and referred to.
 */
export class GbnfRules {
  readonly #bodies = new Map<string, string>();
  readonly #nameByBody = new Map<string, string>();
  #numReserved = 0;
  #numCopies = 0;
  #length = 0;

  /** @returns the name of a rule with this body, the same for the same body */
  rule(body: string): string {
    const known = this.#nameByBody.get(body);
    if (known !== undefined) return known;
    const name = this.reserve();
    this.define(name, body);
    this.#nameByBody.set(body, name);
    return name;
  }

  /** Several of them. llama.cpp counts the rules within what is repeated, so that is one. */
  repetition(body: string, min: number, max: number | undefined): string {
    this.#numCopies += max ?? min;
    if (this.#numCopies > MAX_COPIES) {
      throw new UsageError(
        `The schema is too large: its counts of characters and items add up to more than ${MAX_COPIES}`,
      );
    }
    return `${this.rule(body)}{${min},${max ?? ""}}`;
  }

  /** A name whose body comes later: for what refers to itself. */
  reserve(): string {
    return `r${this.#numReserved++}`;
  }

  /** @throws UsageError when the grammar grows out of bounds */
  define(name: string, body: string): void {
    this.#bodies.set(name, body);
    this.#count(body);
  }

  /** The whole grammar, which begins with `root`. @throws UsageError as define() */
  text(root: string): string {
    this.#count(root);
    const lines = [`root ::= ${root}`];
    for (const [name, body] of this.#bodies) lines.push(`${name} ::= ${body}`);
    return lines.join("\n");
  }

  #count(body: string): void {
    this.#length += body.length;
    if (this.#length > MAX_GRAMMAR_LENGTH) {
      throw new UsageError("The schema is too large: its grammar has no room for all of its parts");
    }
  }
}

/** A text as it stands. */
export function literal(text: string): string {
  const escapes: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };
  return `"${text.replace(/[\\"\n\r\t]/g, (found) => escapes[found] ?? `\\${found}`)}"`;
}

/** Nothing at all. */
export const EMPTY = '""';

/** One of several. */
export function choice(expressions: readonly string[]): string {
  return expressions.length === 1 ? expressions[0]! : `(${expressions.join(" | ")})`;
}

/** Code points from the first to the second. */
export type CodeRange = readonly [first: number, last: number];

/** One character of these. */
export function characters(ranges: readonly CodeRange[]): string {
  const texts = ranges.map(([first, last]) =>
    first === last ? codePoint(first) : `${codePoint(first)}-${codePoint(last)}`,
  );
  return `[${texts.join("")}]`;
}

function codePoint(code: number): string {
  if (code < 0x80 && /[a-zA-Z0-9]/.test(String.fromCharCode(code)))
    return String.fromCharCode(code);
  if (code <= 0xff) return `\\x${code.toString(16).padStart(2, "0")}`;
  if (code <= 0xffff) return `\\u${code.toString(16).padStart(4, "0")}`;
  return `\\U${code.toString(16).padStart(8, "0")}`;
}

/**
 * Any text in which `marker` does not appear, one rule for each length of it that may have come: the
 * automaton of a text search.
 */
export function textWithout(rules: GbnfRules, marker: string): string {
  const letters = Array.from(marker);
  const names = letters.map(() => rules.reserve());
  for (const [length, name] of names.entries()) {
    const known = [...new Set(letters.slice(0, length + 1))];
    const branches = known.flatMap((letter) => {
      const next = longestBorder(marker, letters.slice(0, length).join("") + letter);
      return next === letters.length ? [] : [`${literal(letter)} ${names[next]!}`];
    });
    const others = known.map((letter) => codePoint(letter.codePointAt(0)!)).join("");
    rules.define(name, [...branches, `[^${others}] ${names[0]!}`, EMPTY].join(" | "));
  }
  return names[0]!;
}

/** Length of the longest end of `text` that `marker` begins with. */
function longestBorder(marker: string, text: string): number {
  for (let length = Math.min(marker.length, text.length); length > 0; length--) {
    if (marker.startsWith(text.slice(-length))) return length;
  }
  return 0;
}
