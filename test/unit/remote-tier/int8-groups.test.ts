import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeFloat16, encodeFloat16 } from "../../../src/core/index.ts";
import { decodeInt8, encodeInt8, int8Bytes } from "../../../src/tiers/remote/int8-groups.ts";

const MAX_FINITE_BITS = 0x7bff;

/** Groups of numbers of any magnitude, each group's of about the same. */
const groups = fc
  .tuple(fc.constantFrom(8, 32, 64, 160, 256), fc.integer({ min: 1, max: 4 }))
  .chain(([groupSize, numGroups]) =>
    fc
      .array(
        fc
          .tuple(fc.double({ min: -24, max: 14, noNaN: true }), fc.boolean())
          .chain(([exponent, isSmall]) =>
            fc
              .array(fc.double({ min: isSmall ? -0.1 : -1, max: 1, noNaN: true }), {
                minLength: groupSize,
                maxLength: groupSize,
              })
              .map((values) => values.map((value) => encodeFloat16(value * 2 ** exponent))),
          ),
        { minLength: numGroups, maxLength: numGroups },
      )
      .map((all) => ({ groupSize, halves: Uint16Array.from(all.flat()) })),
  );

function roundTrip(halves: Uint16Array, groupSize: number): Uint16Array {
  const bytes = new Uint8Array(int8Bytes(halves.length, groupSize));
  expect(encodeInt8(halves, groupSize, bytes)).toBe(true);
  const decoded = new Uint16Array(halves.length);
  expect(decodeInt8(bytes, groupSize, decoded)).toBe(true);
  return decoded;
}

/** Half the distance to the next half-precision number. */
function roundingOf(bits: number): number {
  const magnitude = bits & 0x7fff;
  return (decodeFloat16(magnitude + 1) - decodeFloat16(magnitude)) / 2;
}

describe("encodeInt8() and decodeInt8()", () => {
  test("no number is off by more than half a scale and the rounding of the result", () => {
    fc.assert(
      fc.property(groups, ({ halves, groupSize }) => {
        const decoded = roundTrip(halves, groupSize);
        for (let start = 0; start < halves.length; start += groupSize) {
          const group = Array.from(halves.subarray(start, start + groupSize), decodeFloat16);
          const scale = (Math.max(...group.map(Math.abs)) / 127) * (1 + 1 / 1024);
          for (const [i, x] of group.entries()) {
            const bits = decoded[start + i]!;
            const bound = scale / 2 + roundingOf(bits);
            expect(Math.abs(x - decodeFloat16(bits))).toBeLessThanOrEqual(bound * (1 + 1e-9));
          }
        }
      }),
    );
  });

  test("each step comes back within half a scale before it is rounded", () => {
    fc.assert(
      fc.property(groups, ({ halves, groupSize }) => {
        const bytes = new Uint8Array(int8Bytes(halves.length, groupSize));
        encodeInt8(halves, groupSize, bytes);
        const view = new DataView(bytes.buffer);
        halves.forEach((bits, i) => {
          const at = Math.floor(i / groupSize) * (groupSize + 4);
          const scale = view.getFloat32(at, true);
          const steps = bytes[at + 4 + (i % groupSize)]! - 128;
          const error = Math.abs(decodeFloat16(bits) - steps * scale);
          expect(error).toBeLessThanOrEqual((scale / 2) * (1 + 1e-9));
        });
      }),
    );
  });

  test("zeros stay zeros, and signs stay", () => {
    expect([...roundTrip(new Uint16Array(8), 8)]).toEqual(Array.from({ length: 8 }, () => 0));
    const mixed = Uint16Array.from([1, -1, 0, 0.5, -0.5, 1, 1, -1], encodeFloat16);
    expect(Array.from(roundTrip(mixed, 8), (bits) => Math.sign(decodeFloat16(bits)))).toEqual([
      1, -1, 0, 1, -1, 1, 1, -1,
    ]);
  });

  test("numbers too large to come back finite are refused, and others come back finite", () => {
    for (const bits of [MAX_FINITE_BITS, 0x7c00, 0x7e00, 0xfc00]) {
      const halves = new Uint16Array(8).fill(bits);
      expect(encodeInt8(halves, 8, new Uint8Array(int8Bytes(8, 8)))).toBe(false);
    }
    const large = new Uint16Array(8).fill(encodeFloat16(-64_800));
    for (const bits of roundTrip(large, 8))
      expect(bits & 0x7fff).toBeLessThanOrEqual(MAX_FINITE_BITS);
  });

  test("decoding at the end of the memory that holds the source changes no byte before it is read", () => {
    fc.assert(
      fc.property(groups, fc.integer({ min: 0, max: 64 }), ({ halves, groupSize }, numSpare) => {
        const memory = new Uint8Array(halves.byteLength + 2 * numSpare);
        const numBytes = int8Bytes(halves.length, groupSize);
        const source = memory.subarray(memory.length - numBytes);
        encodeInt8(halves, groupSize, source);
        const target = new Uint16Array(memory.buffer, 2 * numSpare, halves.length);
        expect(decodeInt8(source, groupSize, target)).toBe(true);
        expect(target).toEqual(roundTrip(halves, groupSize));
      }),
    );
  });

  test("a scale that is never written is refused", () => {
    const bytes = new Uint8Array(int8Bytes(8, 8));
    for (const scale of [513, 1e30, Infinity, NaN]) {
      new DataView(bytes.buffer).setFloat32(0, scale, true);
      expect(decodeInt8(bytes, 8, new Uint16Array(8))).toBe(false);
    }
  });
});
