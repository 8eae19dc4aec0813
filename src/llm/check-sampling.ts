import { UsageError } from "../core/index.ts";
import { type NumberRange, defaultSamplingParams, samplingRanges } from "../engine/index.ts";

const RANGES: Readonly<Record<string, NumberRange>> = samplingRanges;

/** Plain JavaScript has no types to keep a wrong option out. */
export function checkSampling(sampling: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(sampling)) {
    if (!Object.hasOwn(defaultSamplingParams, name)) {
      const known = Object.keys(defaultSamplingParams).join(", ");
      throw new UsageError(`Unknown option "${name}": wanted one of ${known}`, { param: name });
    }
    if (value === undefined) continue;
    const range = RANGES[name];
    if (range !== undefined && !isWithin(value, range)) {
      throw new UsageError(
        `Cannot use ${name} ${JSON.stringify(value)}: wanted ${describeRange(range)}`,
        { param: name },
      );
    }
  }
}

function isWithin(value: unknown, { min, max, isWhole = false }: NumberRange): boolean {
  if (typeof value !== "number" || (isWhole && !Number.isInteger(value))) return false;
  return min <= value && value <= max;
}

function describeRange({ min, max, isWhole = false }: NumberRange): string {
  const kind = isWhole ? "a whole number" : "a number";
  return max === Number.MAX_SAFE_INTEGER
    ? `${kind}, at least ${min}`
    : `${kind} from ${min} to ${max}`;
}
