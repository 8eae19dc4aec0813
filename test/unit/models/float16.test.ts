import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFloat16 } from "../../../src/models/float16.ts";

/** As IEEE 754 writes it down. */
function decodeFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return (
    sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
  );
}

describe("encodeFloat16()", () => {
  it("gives back every finite half-precision number", () => {
    const positive = Array.from({ length: 0x7c00 }, (_, bits) => bits);
    const negative = positive.slice(1).map((bits) => bits | 0x8000);
    for (const all of [positive, negative]) {
      expect(all.map((bits) => encodeFloat16(decodeFloat16(bits)))).toEqual(all);
    }
  });

  it("rounds to the nearest", () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 65_000, noNaN: true }), (value) => {
        const bits = encodeFloat16(value);
        const error = Math.abs(decodeFloat16(bits) - value);
        expect(error).toBeLessThanOrEqual(Math.abs(decodeFloat16(bits + 1) - value));
        if (bits > 0) expect(error).toBeLessThanOrEqual(Math.abs(decodeFloat16(bits - 1) - value));
      }),
    );
  });
});
