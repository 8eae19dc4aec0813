import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FlatTable, encodeFlatTable } from "../../../src/protocol/flatbuffer.ts";
import {
  INFINISTORE_HEAD_BYTES,
  type InfinistoreRequest,
  decodeInfinistoreBody,
  decodeInfinistoreHead,
  encodeInfinistoreReply,
  encodeInfinistoreRequest,
} from "../../../src/protocol/infinistore.ts";

function decode(bytes: Buffer): InfinistoreRequest | undefined {
  const { operation, bodyBytes } = decodeInfinistoreHead(bytes);
  expect(bodyBytes).toBe(bytes.length - INFINISTORE_HEAD_BYTES);
  return operation && decodeInfinistoreBody(operation, bytes.subarray(INFINISTORE_HEAD_BYTES));
}

describe("InfiniStore's messages", () => {
  test("exist: the key stands bare behind the head", () => {
    const bytes = encodeInfinistoreRequest({ kind: "exist", key: "abc" });
    expect(bytes.toString("hex")).toBe("efbeadde" + "43" + "03000000" + "616263");
  });

  test("put: a table of key, length and operation", () => {
    const bytes = encodeInfinistoreRequest({ kind: "put", key: "abc", valueBytes: 1_048_576 });
    expect(bytes.toString("hex")).toBe(
      "efbeadde" +
        "4c" +
        "28000000" + // head
        "10000000" +
        "0000" +
        "0a001000" +
        "040008000c00" + // root, padding, vtable
        "0a000000" +
        "0c000000" +
        "00001000" +
        "50000000" + // table
        "03000000" +
        "61626300", // key
    );
  });

  test("replies are words", () => {
    expect(encodeInfinistoreReply(200, -1).toString("hex")).toBe("c8000000ffffffff");
    expect(encodeInfinistoreReply(404).toString("hex")).toBe("94010000");
  });

  test("what is sent is understood", () => {
    const key = fc.string({ unit: "binary", maxLength: 400 });
    const request: fc.Arbitrary<InfinistoreRequest> = fc.oneof(
      fc.record({ kind: fc.constant("put" as const), key, valueBytes: fc.nat() }),
      fc.record({ kind: fc.constant("get" as const), key }),
      fc.record({ kind: fc.constant("exist" as const), key }),
      fc.record({ kind: fc.constant("match" as const), keys: fc.array(key, { maxLength: 8 }) }),
      fc.record({ kind: fc.constant("remove" as const), keys: fc.array(key, { maxLength: 8 }) }),
    );
    fc.assert(
      fc.property(request, (given) => {
        expect(decode(encodeInfinistoreRequest(given))).toEqual(given);
      }),
    );
  });

  test("another protocol is refused, an unknown operation is told", () => {
    expect(() => decodeInfinistoreHead(Buffer.from("GET / HTT"))).toThrow(
      expect.objectContaining({ code: "protocol" }),
    );
    const bytes = encodeInfinistoreRequest({ kind: "exist", key: "abc" });
    bytes[4] = 0x41;
    expect(decode(bytes)).toBeUndefined();
  });
});

describe("FlatBuffers", () => {
  test("fields that a table lacks read as empty", () => {
    const table = new FlatTable(encodeFlatTable([{ text: "abc" }]));
    expect([table.text(0), table.int32(1), table.int8(2), table.texts(3)]).toEqual([
      "abc",
      0,
      0,
      [],
    ]);
  });

  test("a table laid out by another encoder is understood", () => {
    // Vtable behind the table, fields in another order, the string first.
    const bytes = Buffer.from(
      "10000000" +
        "03000000" +
        "78797a00" +
        "00000000" + // root -> 16; "xyz"
        "f0ffffff" +
        "2a000000" +
        "ecffffff" +
        "50000000" + // table at 16: vtable at 32, 42, string
        "0a001000" +
        "080004000c00" +
        "0000",
      "hex",
    );
    // The offset of a string counts forward only: an encoder that points back is refused.
    expect(() => new FlatTable(bytes).text(0)).toThrow(/outside/);
    expect(new FlatTable(bytes).int32(1)).toBe(42);
    expect(new FlatTable(bytes).int8(2)).toBe(0x50);
  });

  test("one text is not handed out a thousand times", () => {
    const bytes = encodeFlatTable([{ texts: ["x".repeat(1000), ...Array<string>(99).fill("")] }]);
    const list = 16;
    for (let nth = 0; nth < 100; nth++) {
      const at = list + 4 + 4 * nth;
      bytes.writeUInt32LE(list + 4 + 400 - at, at);
    }
    expect(() => new FlatTable(bytes).texts(0)).toThrow(/outside/);
  });

  test("damaged tables are read or refused, never believed", () => {
    const whole = encodeFlatTable([{ texts: ["a", "bc", "def"] }, { int32: 5 }, { int8: 1 }]);
    fc.assert(
      fc.property(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }), (at, byte) => {
        const damaged = Buffer.from(whole);
        damaged[at] = byte;
        try {
          const table = new FlatTable(damaged);
          table.texts(0);
          table.int32(1);
          table.int8(2);
        } catch (error) {
          expect(error).toMatchObject({ code: "protocol" });
        }
      }),
      { numRuns: 2000 },
    );
  });
});
