import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isPacked, pack, typeHash, unpack } from "../../../src/protocol/struct-pack.ts";
import {
  boolean,
  expected,
  int32,
  list,
  nothing,
  one,
  only,
  optional,
  struct,
  text,
  uint64,
  uint8,
  uuid,
  variant,
} from "../../../src/protocol/struct-pack-types.ts";

const keyAndTenant = struct({ key: text, tenant: text });
const putEnd = struct({
  client: uuid,
  object: struct({ key: text, checksum: optional(uint64) }),
  type: int32,
  tenant: text,
});
const answers = list(expected(boolean));

describe("struct_pack", () => {
  test("literals are those of the format", () => {
    expect(hex(keyAndTenant.literal)).toBe("fd800c800cff");
    expect(hex(putEnd.literal)).toBe("fdfd04048989fffd800c8504ff01800cff");
    expect(hex(answers.literal)).toBe("84870b01");
    expect(hex(expected(nothing).literal)).toBe("87fa01");
    expect(hex(variant({ a: uint8, b: list(uint64) }).literal)).toBe("86068404ff");
    expect(hex(only("key", text).literal)).toBe("800c");
    expect(hex(one(uint64).literal)).toBe("04");
  });

  test("a message is the hash and the fields", () => {
    expect(hex(pack(keyAndTenant, { key: "abc", tenant: "default" }))).toBe(
      `${hashHex(keyAndTenant)}03616263` + `07${Buffer.from("default").toString("hex")}`,
    );
    expect(hex(pack(struct({ a: one(uint64), b: optional(uint8) }), { a: [5n], b: 7 }))).toBe(
      `${hashHex(struct({ a: uint64, b: optional(uint8) }))}0500000000000000` + "0107",
    );
  });

  test("lengths take two bytes where one of them needs two", () => {
    const keys = Array.from({ length: 300 }, () => "k");
    const packed = pack(only("keys", list(text)), { keys });
    expect(packed.readUInt32LE(0)).toBe((typeHash(list(text)) | 1) >>> 0);
    expect(hex(packed.subarray(4, 10))).toBe("082c0101006b");
    expect(unpack(only("keys", list(text)), packed)).toEqual({ keys });
  });

  test("replies of builds with assertions, which carry their literal, are understood", () => {
    expect(unpack(answers, Buffer.from("5d8c5f2a0484870b01000201000100", "hex"))).toEqual([
      { ok: true, value: false },
      { ok: true, value: false },
    ]);
    expect(
      unpack(expected(text), Buffer.from("35ccb31c0487800c01000105322e302e30", "hex")),
    ).toEqual({
      ok: true,
      value: "2.0.0",
    });
  });

  test("a message of another type is told from one of the same", () => {
    expect(isPacked(keyAndTenant, pack(only("key", text), { key: "a" }))).toBe(false);
    expect(isPacked(keyAndTenant, Buffer.from("ff", "hex"))).toBe(false);
    expect(() => unpack(answers, pack(only("key", text), { key: "a" }))).toThrow(/another type/);
  });

  test("what is written is read", () => {
    const type = struct({
      id: uuid,
      names: list(text),
      where: variant({ memory: struct({ at: uint64 }), disk: text }),
      last: expected(optional(int32)),
    });
    const uint64s = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
    const value = fc.record({
      id: fc.tuple(uint64s, uint64s),
      names: fc.array(fc.string({ unit: "binary", maxLength: 300 }), { maxLength: 300 }),
      where: fc.oneof(
        fc.record({ kind: fc.constant("memory"), value: fc.record({ at: uint64s }) }),
        fc.record({ kind: fc.constant("disk"), value: fc.string({ unit: "binary" }) }),
      ),
      last: fc.oneof(
        fc.record({ ok: fc.constant(true), value: fc.option(fc.integer(), { nil: undefined }) }),
        fc.record({ ok: fc.constant(false), error: fc.integer() }),
      ),
    });
    fc.assert(
      fc.property(value, (given) => {
        expect(unpack(type, pack(type, given as never))).toEqual(given);
      }),
    );
  });

  test("damaged messages are refused with a protocol error, whatever they say", () => {
    const whole = pack(putEnd, {
      client: [1n, 2n],
      object: { key: "key", checksum: 3n },
      type: 0,
      tenant: "default",
    });
    for (let length = 0; length < whole.length; length++) {
      expect(() => unpack(putEnd, whole.subarray(0, length))).toThrow(
        expect.objectContaining({ code: "protocol" }),
      );
    }
    expect(() => unpack(putEnd, Buffer.concat([whole, Buffer.alloc(1)]))).toThrow(/longer/);
    fc.assert(
      fc.property(fc.nat({ max: whole.length - 5 }), fc.nat({ max: 255 }), (at, byte) => {
        const damaged = Buffer.from(whole);
        damaged[4 + at] = byte;
        try {
          unpack(putEnd, damaged);
        } catch (error) {
          expect(error).toMatchObject({ code: "protocol" });
        }
      }),
    );
  });

  test("a list that claims four billion elements is refused before memory is taken", () => {
    const head = Buffer.alloc(5);
    head.writeUInt32LE((typeHash(answers) | 1) >>> 0);
    head[4] = 2 << 3;
    expect(() => unpack(answers, Buffer.concat([head, Buffer.from("ffffffff", "hex")]))).toThrow(
      /shorter/,
    );
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

function hashHex(type: { literal: Uint8Array }): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(typeHash(type));
  return bytes.toString("hex");
}
