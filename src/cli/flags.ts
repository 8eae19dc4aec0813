import { UsageError } from "../core/index.ts";

/** Reads a flag's value as a whole number between two bounds. */
export function wholeNumber(flag: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new UsageError(
      `Cannot use ${flag} "${text}": wanted a whole number from ${min} to ${max}`,
      { param: flag },
    );
  };
}
