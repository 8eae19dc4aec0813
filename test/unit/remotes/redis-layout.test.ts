import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashSlot } from "../../../src/remotes/redis/hash-slot.ts";
import {
  HEADER_BYTES,
  decodeHeader,
  encodeHeader,
  headKey,
  stripeKeys,
  stripes,
} from "../../../src/remotes/redis/layout.ts";

describe("hashSlot()", () => {
  test.each([
    ["123456789", 12739],
    ["foo", 12182],
    ["{user1000}.following", 3443],
    ["{user1000}.followers", 3443],
    ["foo{}{bar}", 8363],
    ["foo{{bar}}zap", 4015],
    ["foo{bar}{zap}", 5061],
    ["", 0],
  ])("gives %j the slot that a server gives it", (key, slot) => {
    expect(hashSlot(key)).toBe(slot);
  });
});

describe("the layout of a value", () => {
  const header = fc.record({
    stripeBytes: fc.integer({ min: 1, max: 64 }),
    byteLength: fc.nat(1000),
  });

  test("puts all keys of a value in one slot, and no key of two values is the same", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), header, (name, other, shape) => {
        const keys = [headKey(name), ...stripeKeys(name, shape)];
        expect(new Set(keys.map(hashSlot)).size).toBe(1);
        if (name !== other) {
          const others = new Set([headKey(other), ...stripeKeys(other, shape)]);
          expect(keys.filter((key) => others.has(key))).toEqual([]);
        }
      }),
    );
  });

  test("has one stripe for each key, which together are the value", () => {
    fc.assert(
      fc.property(header, (shape) => {
        const value = Uint8Array.from({ length: shape.byteLength }, (_, index) => index);
        const parts = stripes(value, shape);
        expect(parts).toHaveLength(1 + stripeKeys("name", shape).length);
        expect(Buffer.concat(parts)).toEqual(Buffer.from(value));
      }),
    );
  });

  test("has a header that reads back", () => {
    fc.assert(
      fc.property(header, (shape) => {
        expect(decodeHeader(Buffer.from(encodeHeader(shape)))).toEqual(shape);
      }),
    );
  });

  test.each([
    ["short", Buffer.from("WKV1")],
    ["another's", Buffer.alloc(HEADER_BYTES)],
    ["of stripes without bytes", Buffer.from(encodeHeader({ stripeBytes: 0, byteLength: 1 }))],
    ["of too many stripes", Buffer.from(encodeHeader({ stripeBytes: 1, byteLength: 2 ** 40 }))],
  ])("has no header that is %s", (_, bytes) => {
    expect(decodeHeader(bytes)).toBeUndefined();
  });
});
