import { EMPTY, choice, literal } from "./gbnf.ts";

/** Bounds of a number; the inclusive ones are whole. */
export interface NumberBounds {
  readonly min?: number | undefined;
  readonly max?: number | undefined;
  /** Whether the bound itself is left out. */
  readonly isMinOpen?: boolean | undefined;
  readonly isMaxOpen?: boolean | undefined;
}

/** Digits that a double holds exactly. */
const MAX_DIGITS = 15;
const FRACTION = `("." [0-9]{1,${MAX_DIGITS}})`;
const NON_ZERO_FRACTION = `("." [0-9]{0,${MAX_DIGITS - 1}} [1-9])`;
const ZERO_FRACTION = `("." "0"{1,${MAX_DIGITS}})`;

/** The decimal whole numbers from `min` to `max`, both with them. Undefined bounds are open. */
export function integerRange(min: number | undefined, max: number | undefined): string {
  const alternatives: string[] = [];
  if (min === undefined || min < 0) {
    const least = Math.max(1, -(max ?? 0));
    alternatives.push(`"-" ${naturals(least, min === undefined ? undefined : -min)}`);
  }
  if (max === undefined || max >= 0) alternatives.push(naturals(Math.max(0, min ?? 0), max));
  return choice(alternatives);
}

/** Decimal numbers within bounds that are whole or undefined, without exponents. */
export function decimalRange(bounds: NumberBounds): string {
  const { min, max, isMinOpen = false, isMaxOpen = false } = bounds;
  const alternatives: string[] = [];
  if (min === undefined || min < 0) {
    const isBelowZero = max !== undefined && max <= 0;
    const negative = positiveDecimals({
      min: isBelowZero ? -max : 0,
      isMinOpen: isBelowZero ? isMaxOpen : false,
      max: min === undefined ? undefined : -min,
      isMaxOpen: isMinOpen,
    });
    alternatives.push(`"-" ${negative}`);
  }
  if (max === undefined || max > 0 || (max === 0 && !isMaxOpen)) {
    const isAboveZero = min !== undefined && min >= 0;
    alternatives.push(
      positiveDecimals({
        min: isAboveZero ? min : 0,
        isMinOpen: isAboveZero && isMinOpen,
        max,
        isMaxOpen,
      }),
    );
  }
  return choice(alternatives);
}

/** Of a range that is not empty, with 0 <= min. */
function positiveDecimals(bounds: NumberBounds): string {
  const { min = 0, max, isMinOpen, isMaxOpen } = bounds;
  const alternatives: string[] = [];
  const firstWhole = isMinOpen === true ? min + 1 : min;
  if (isMinOpen === true && (max === undefined || min < max)) {
    alternatives.push(`${literal(String(min))} ${NON_ZERO_FRACTION}`);
  }
  if (max === undefined || firstWhole < max) {
    alternatives.push(
      `${naturals(firstWhole, max === undefined ? undefined : max - 1)} ${FRACTION}?`,
    );
  }
  if (max !== undefined && isMaxOpen !== true && firstWhole <= max) {
    alternatives.push(`${literal(String(max))} ${ZERO_FRACTION}?`);
  }
  return choice(alternatives);
}

/** 0 <= min. */
function naturals(min: number, max: number | undefined): string {
  const alternatives: string[] = [];
  const low = String(min);
  const high = max === undefined ? "9".repeat(low.length) : String(max);
  for (let length = low.length; length <= high.length; length++) {
    const from = length === low.length ? low : `1${"0".repeat(length - 1)}`;
    const to = length === high.length ? high : "9".repeat(length);
    alternatives.push(sameLength(from, to));
  }
  if (max === undefined && low.length < MAX_DIGITS) {
    alternatives.push(`[1-9] [0-9]{${low.length},${MAX_DIGITS - 1}}`);
  }
  return choice(alternatives);
}

/** From one row of digits to another that is as long and not smaller. */
function sameLength(low: string, high: string): string {
  if (low === "") return EMPTY;
  if (/^0*$/.test(low) && /^9*$/.test(high)) return `[0-9]{${low.length}}`;
  const [first, last] = [Number(low[0]), Number(high[0])];
  const [lowRest, highRest] = [low.slice(1), high.slice(1)];
  if (first === last) return `"${first}" ${sameLength(lowRest, highRest)}`;
  const alternatives = [`"${first}" ${sameLength(lowRest, "9".repeat(lowRest.length))}`];
  if (last - first > 1) {
    const rest = lowRest === "" ? "" : ` [0-9]{${lowRest.length}}`;
    alternatives.push(`[${first + 1}-${last - 1}]${rest}`);
  }
  alternatives.push(`"${last}" ${sameLength("0".repeat(highRest.length), highRest)}`);
  return choice(alternatives);
}
