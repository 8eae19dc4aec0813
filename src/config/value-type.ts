import { GiB, parseSizeBytes, UsageError } from "../core/index.ts";
import { z } from "zod";

/**
 * One way to write a value. Every source goes through it: text from the environment, whatever YAML
 * made of a file, what a program passes. The messages of `schema` say what was wanted.
 */
export interface ValueType<Value> {
  /** For the documents: "boolean". */
  readonly name: string;
  readonly schema: z.ZodType<Value>;
  /** The value as it would be written. */
  show(value: Value): string;
}

export const boolean: ValueType<boolean> = {
  name: "boolean",
  schema: z.preprocess(
    (raw) => (typeof raw === "boolean" || typeof raw === "number" ? String(raw) : trimmed(raw)),
    z.stringbool({
      truthy: ["true", "1", "yes", "on"],
      falsy: ["false", "0", "no", "off"],
      error: "wanted true, false, 1, 0, yes, no, on or off",
    }),
  ),
  show: String,
};

export function integer(range: { minimum?: number; maximum?: number } = {}): ValueType<number> {
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = range;
  const limits =
    range.maximum !== undefined ? ` from ${minimum} to ${maximum}` : ` of at least ${minimum}`;
  const error = `wanted a whole number${range.minimum === undefined ? "" : limits}`;
  return {
    name: "integer",
    schema: z.preprocess(toNumber, z.int({ error }).min(minimum, error).max(maximum, error)),
    show: String,
  };
}

/** The longest delay a timer takes, in seconds. */
const MAX_SECONDS = 2_147_483;
const WANTED_SECONDS = `wanted a number of seconds from 0.001 to ${MAX_SECONDS}`;

/** Seconds outside, milliseconds inside. */
export const seconds: ValueType<number> = {
  name: "seconds",
  schema: z.preprocess(
    toNumber,
    z
      .number({ error: WANTED_SECONDS })
      .min(0.001, WANTED_SECONDS)
      .max(MAX_SECONDS, WANTED_SECONDS)
      .transform((value) => Math.round(value * 1000)),
  ),
  show: (valueMs) => String(valueMs / 1000),
};

/** GB outside, bytes inside. */
export function size(minimumBytes: 0 | 1): ValueType<number> {
  const least = minimumBytes === 0 ? "" : " above 0";
  return {
    name: "size",
    schema: z.unknown().transform((raw, context) => {
      const bytes = typeof raw === "number" || typeof raw === "string" ? sizeBytes(raw) : undefined;
      if (bytes !== undefined && bytes >= minimumBytes && Number.isSafeInteger(bytes)) return bytes;
      context.addIssue(
        `wanted a number of GB${least}, or a number with a unit, such as 5, 0.5 or "20Gi"`,
      );
      return z.NEVER;
    }),
    show: showGb,
  };
}

/** Names in any case; the answer is in ours. */
export function oneOf<const Name extends string>(names: readonly Name[]): ValueType<Name> {
  return {
    name: "name",
    schema: z.preprocess(
      (raw) => canonicalName(raw, names),
      z.enum(names, { error: `wanted ${listed(names)}` }),
    ),
    show: String,
  };
}

/** A list, or text with commas. */
export function listOf<const Name extends string>(
  names: readonly Name[],
): ValueType<readonly Name[]> {
  return {
    name: "list",
    schema: z.preprocess(
      (raw) => splitList(raw).map((item) => canonicalName(item, names)),
      z
        .array(z.enum(names, { error: `wanted a list of ${listed(names)}` }))
        .min(1, `wanted a list of ${listed(names)}`),
    ),
    show: (value) => value.join(","),
  };
}

const WANTED_LINE = "wanted text on one line";

export const text: ValueType<string> = {
  name: "text",
  schema: z.preprocess(
    (raw) => (typeof raw === "number" ? String(raw) : trimmed(raw)),
    z.string({ error: WANTED_LINE }).regex(/^\P{Cc}+$/u, WANTED_LINE),
  ),
  show: String,
};

/** Whether a value asks for the default: null, Python's None, nothing at all. */
export function isNothing(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    (typeof value === "string" && /^\s*(none|null|~)?\s*$/i.test(value))
  );
}

/** The items of a list or of text with commas, trimmed; anything else as the only item. */
export function splitList(raw: unknown): unknown[] {
  if (Array.isArray(raw)) return raw.map(trimmed);
  if (typeof raw !== "string") return [raw];
  return raw
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function trimmed(raw: unknown): unknown {
  return typeof raw === "string" ? raw.trim() : raw;
}

function toNumber(raw: unknown): unknown {
  if (typeof raw !== "string") return raw;
  const numeral = raw.trim();
  return /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(numeral) ? Number(numeral) : raw;
}

function sizeBytes(raw: number | string): number | undefined {
  try {
    return parseSizeBytes(raw, "size");
  } catch (error) {
    if (error instanceof UsageError) return undefined;
    throw error;
  }
}

function showGb(bytes: number): string {
  const gb = bytes / GiB;
  return Number.isInteger(gb) ? gb.toFixed(1) : String(Number(gb.toPrecision(4)));
}

function canonicalName(raw: unknown, names: readonly string[]): unknown {
  if (typeof raw !== "string") return raw;
  const wanted = raw.trim().toLowerCase();
  return names.find((name) => name.toLowerCase() === wanted) ?? raw;
}

function listed(names: readonly string[]): string {
  return names.length === 1 ? names[0]! : `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
