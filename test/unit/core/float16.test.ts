import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFloat16, encodeFloat16 } from "../../../src/core/index.ts";

describe("decodeFloat16()", () => {
  it.each([
    [0, 0],
    [0x0001, 2 ** -24],
    [0x03ff, 1023 * 2 ** -24],
    [0x0400, 2 ** -14],
    [0x3c00, 1],
    [0x3555, 0.333251953125],
    [0xc000, -2],
    [0x7bff, 65_504],
  ])("reads the bits %i as %d", (bits, value) => {
    expect(decodeFloat16(bits)).toBe(value);
  });
});

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
