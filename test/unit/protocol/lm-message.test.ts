import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  LM_CODES,
  LM_COMMANDS,
  LM_FORM_BYTES,
  LM_KEY_BYTES,
  type LmForm,
  type LmReply,
  type LmRequest,
  decodeLmReply,
  decodeLmRequest,
  encodeLmReply,
  encodeLmRequest,
  lmFormOf,
  lmReplyWithout,
  lmRequest,
  lmRequestBytes,
} from "../../../src/protocol/index.ts";

const protocolError = expect.objectContaining({ name: "ConnectionError", code: "protocol" });
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");
const padded = (key: string): Buffer => Buffer.from(key.padEnd(LM_KEY_BYTES));
const FORMS: readonly LmForm[] = ["current", "2025", "2024"];

const bfloat16 = { format: 1, dtype: 3, location: 0 } as const;
const small: LmRequest = {
  ...bfloat16,
  command: LM_COMMANDS.put,
  byteLength: 16,
  shape: [2, 1, 2, 2],
  key: "m@1@0@1f@bfloat16",
};
const llama: LmRequest = {
  ...bfloat16,
  command: LM_COMMANDS.put,
  byteLength: 33_554_432,
  shape: [2, 32, 256, 1024],
  key: "meta-llama/Llama-3.1-8B-Instruct@1@0@5f05dec65811b7cc@bfloat16",
};

/** What LMCache's own code writes for these. */
const requests: readonly (readonly [string, LmRequest, Buffer])[] = [
  [
    "PUT of a small value",
    small,
    Buffer.concat([
      bytes("01000000 10000000 01000000 03000000 00000000 02000000 01000000 02000000 02000000"),
      padded("m@1@0@1f@bfloat16"),
    ]),
  ],
  [
    "GET",
    lmRequest(LM_COMMANDS.get, small.key),
    Buffer.concat([
      bytes("02000000 00000000 01000000 02000000 00000000 00000000 00000000 00000000 00000000"),
      padded("m@1@0@1f@bfloat16"),
    ]),
  ],
  [
    "PUT of 256 tokens of Llama 3.1 8B",
    llama,
    Buffer.concat([
      bytes("01000000 00000002 01000000 03000000 00000000 02000000 20000000 00010000 00040000"),
      padded(llama.key),
    ]),
  ],
  [
    "PUT of an odd length",
    { ...llama, byteLength: 1_234_567, key: "meta/Llama-3-8B@2@1@deadbeef0123456789@bfloat16" },
    Buffer.concat([
      bytes("01000000 87d61200 01000000 03000000 00000000 02000000 20000000 00010000 00040000"),
      padded("meta/Llama-3-8B@2@1@deadbeef0123456789@bfloat16"),
    ]),
  ],
];

const replies: readonly (readonly [string, LmReply, Buffer])[] = [
  [
    "a hit",
    { ...bfloat16, code: LM_CODES.success, byteLength: 16, shape: [2, 1, 2, 2] },
    bytes("c8000000 10000000 01000000 03000000 02000000 01000000 02000000 02000000 00000000"),
  ],
  [
    "a miss",
    lmReplyWithout(LM_CODES.fail),
    bytes(`90010000 00000000 01000000 02000000 ${"00".repeat(20)}`),
  ],
  [
    "EXIST of a held key, and HEALTH",
    lmReplyWithout(LM_CODES.success),
    bytes(`c8000000 00000000 01000000 02000000 ${"00".repeat(20)}`),
  ],
  [
    "a hit of an odd length",
    { ...bfloat16, code: LM_CODES.success, byteLength: 1_234_567, shape: [2, 32, 256, 1024] },
    bytes("c8000000 87d61200 01000000 03000000 02000000 20000000 00010000 00040000 00000000"),
  ],
];

const int32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const byteLength = fc.nat({ max: 2 ** 31 - 1 });
/** Dimensions of a tensor, not just any number: the forms are told apart by that. */
const dimension = fc.nat({ max: 500_000_000 });
const key = fc
  .string({ unit: "grapheme", minLength: 4, maxLength: 40 })
  .map((text) => text.replaceAll(/[\s\p{Cc}\ufeff]/gu, "@").padEnd(4, "@"))
  .filter((text) => Buffer.byteLength(text) <= LM_KEY_BYTES);
const request: fc.Arbitrary<LmRequest> = fc.record({
  command: int32,
  byteLength,
  format: fc.nat({ max: 8 }),
  dtype: fc.nat({ max: 8 }),
  location: fc.nat({ max: 2 }),
  shape: fc.tuple(dimension, dimension, dimension, dimension),
  key,
});

describe("lm:// messages", () => {
  test.each(requests)("%s is written and read as LMCache does", (_, message, wire) => {
    expect(encodeLmRequest(message).equals(wire)).toBe(true);
    expect(decodeLmRequest(wire)).toEqual(message);
    expect(lmFormOf(wire)).toBe("current");
  });

  test.each(replies)("the reply to %s is written and read as LMCache does", (_, reply, wire) => {
    expect(encodeLmReply(reply).equals(wire)).toBe(true);
    expect(decodeLmReply(wire)).toEqual(reply);
  });

  test("the form of mid 2025 has no location, that of 2024 no type", () => {
    const body = padded(small.key);
    const of2025 = Buffer.concat([
      bytes("01000000 10000000 01000000 03000000 02000000 01000000 02000000 02000000"),
      body,
    ]);
    const of2024 = Buffer.concat([bytes("01000000 10000000"), body]);
    expect(encodeLmRequest(small, "2025").equals(of2025)).toBe(true);
    expect(encodeLmRequest(small, "2024").equals(of2024)).toBe(true);
    expect(decodeLmRequest(of2025, "2025")).toEqual(small);
    expect(decodeLmRequest(of2024, "2024")).toMatchObject({
      command: 1,
      byteLength: 16,
      key: small.key,
    });
    const hit = replies[0]![1];
    expect(encodeLmReply(hit, "2025").equals(replies[0]![2].subarray(0, 32))).toBe(true);
    expect(encodeLmReply(hit, "2024").equals(replies[0]![2].subarray(0, 8))).toBe(true);
  });

  test("every request is read as it was written, in every form, and its form is recognised", () => {
    fc.assert(
      fc.property(request, fc.constantFrom(...FORMS), (message, form) => {
        const wire = encodeLmRequest(message, form);
        expect(wire.byteLength).toBe(lmRequestBytes(form));
        expect(lmFormOf(wire.subarray(0, LM_FORM_BYTES))).toBe(form);
        const read = decodeLmRequest(wire, form);
        expect(read).toMatchObject({
          command: message.command,
          byteLength: message.byteLength,
          key: message.key,
        });
        if (form !== "2024") expect(read).toMatchObject({ shape: message.shape });
        if (form === "current") expect(read).toEqual(message);
      }),
      { numRuns: 500 },
    );
  });

  test("a health probe's odd key and an empty key are read in every form", () => {
    for (const form of FORMS) {
      for (const probe of ["@@0@0@", ""]) {
        const wire = encodeLmRequest(lmRequest(LM_COMMANDS.health, probe), form);
        expect(lmFormOf(wire)).toBe(form);
        expect(decodeLmRequest(wire, form).key).toBe(probe);
      }
    }
  });

  test("a key of 150 bytes fits, one of 151 throws", () => {
    const longest = "ü".repeat(75);
    expect(decodeLmRequest(encodeLmRequest(lmRequest(2, longest))).key).toBe(longest);
    expect(() => encodeLmRequest(lmRequest(2, `${longest}x`))).toThrow(RangeError);
  });

  test("a negative length, a key that is not UTF-8 and an unknown code are refused", () => {
    const negative = encodeLmRequest({ ...small, byteLength: -1 });
    expect(() => decodeLmRequest(negative)).toThrow(protocolError);
    const notText = encodeLmRequest(small).fill(0xff, 40, 44);
    expect(() => decodeLmRequest(notText)).toThrow(protocolError);
    const http = Buffer.from("HTTP/1.1 400 Bad Request\r\nConnection: close");
    expect(() => decodeLmReply(http)).toThrow(protocolError);
    const negativeReply = encodeLmReply({ ...lmReplyWithout(200), byteLength: -1 });
    expect(() => decodeLmReply(negativeReply)).toThrow(protocolError);
  });

  test("any 186 bytes are a request or a protocol error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 186, maxLength: 186 }), (garbage) => {
        const form = lmFormOf(garbage);
        let read: LmRequest | undefined;
        try {
          read = decodeLmRequest(garbage.subarray(0, lmRequestBytes(form)), form);
        } catch (error) {
          expect(error).toEqual(protocolError);
        }
        if (read !== undefined) expect(read.byteLength).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 5000 },
    );
  });
});
