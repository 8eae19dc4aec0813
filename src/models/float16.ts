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
