/** Rows of half-precision numbers, one behind the other, somewhere in a run of bytes. */
export interface HalfRows {
  /** First byte, and the one behind the last. */
  readonly start: number;
  readonly end: number;
  readonly rowBytes: number;
}

const EXPONENT_BIAS = 15;
const FRACTION_STEPS = 1024;
const SIGN = 0x8000;

/** The bits of the nearest half-precision number; `value` lies within its range. */
export function encodeFloat16(value: number): number {
  const sign = value < 0 ? SIGN : 0;
  let fraction = Math.abs(value);
  let exponent = EXPONENT_BIAS;
  for (; fraction >= 2; exponent++) fraction /= 2;
  for (; fraction < 1 && exponent > 1; exponent--) fraction *= 2;
  // Below 1, the number is too small for its leading one; above, the one carries into the exponent.
  const steps = Math.round(fraction * FRACTION_STEPS);
  return sign | ((exponent - 1) * FRACTION_STEPS + steps);
}

/** The number that the bits of a finite half-precision number stand for. */
export function decodeFloat16(bits: number): number {
  const sign = (bits & SIGN) === 0 ? 1 : -1;
  const exponent = Math.floor((bits & ~SIGN) / FRACTION_STEPS);
  const fraction = (bits % FRACTION_STEPS) / FRACTION_STEPS + (exponent === 0 ? 0 : 1);
  return sign * fraction * 2 ** (Math.max(exponent, 1) - EXPONENT_BIAS);
}
