import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  GgufFormatError,
  decodeGgufHeader,
  encodeGgufHeader,
} from "../../../src/models/gguf-codec.ts";
import {
  GGUF_TENSOR_TYPES,
  tensorBytes,
  type GgufElementType,
  type GgufTensor,
  type GgufTensorType,
  type GgufValue,
} from "../../../src/models/gguf.ts";

const integer = (min: number, max: number) => fc.integer({ min, max });
const elements: Record<GgufElementType, fc.Arbitrary<unknown>> = {
  uint8: integer(0, 255),
  int8: integer(-128, 127),
  uint16: integer(0, 65_535),
  int16: integer(-32_768, 32_767),
  uint32: integer(0, 0xffff_ffff),
  int32: integer(-0x8000_0000, 0x7fff_ffff),
  float32: fc.float({ noNaN: false }),
  bool: fc.boolean(),
  string: fc.string({ unit: "grapheme" }),
  uint64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  int64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  float64: fc.double(),
};
const anyValue = fc.constantFrom(...(Object.keys(elements) as GgufElementType[])).chain((type) =>
  fc.oneof(
    elements[type].map((value) => ({ type, value })),
    fc.array(elements[type]).map((value) => ({ type: "array", elementType: type, value })),
  ),
) as fc.Arbitrary<GgufValue>;
const anyMetadata = fc
  .uniqueArray(fc.tuple(fc.string({ minLength: 1 }), anyValue), {
    selector: ([key]) => key,
    maxLength: 8,
  })
  .filter((entries) => entries.every(([key]) => key !== "general.alignment"))
  .map((entries) => new Map(entries));
const anyTensor = fc
  .tuple(
    fc.stringMatching(/^[a-z0-9._]{1,40}$/),
    fc.constantFrom(...(Object.keys(GGUF_TENSOR_TYPES) as GgufTensorType[])),
    integer(1, 4),
    fc.array(integer(1, 5), { maxLength: 3 }),
  )
  .map(([name, type, numBlocks, others]): GgufTensor => ({
    name,
    type,
    shape: [numBlocks * GGUF_TENSOR_TYPES[type].blockSize, ...others],
  }));

const decodeWhole = (bytes: Uint8Array, dataBytes = 1 << 30) =>
  decodeGgufHeader(bytes, bytes.byteLength + dataBytes);

describe("decodeGgufHeader()", () => {
  it("gives back any metadata and tensors that encodeGgufHeader() wrote", () => {
    fc.assert(
      fc.property(anyMetadata, fc.array(anyTensor, { maxLength: 6 }), (metadata, tensors) => {
        const bytes = encodeGgufHeader(metadata, tensors);
        const header = decodeWhole(bytes)!;
        expect(header.metadata).toEqual(metadata);
        expect([...header.metadata.keys()]).toEqual([...metadata.keys()]);
        expect(header.dataOffset).toBe(bytes.byteLength);
        let end = 0;
        for (const [i, { name, shape, type }] of tensors.entries()) {
          const info = header.tensors[i]!;
          const byteLength = tensorBytes(type, shape);
          expect(info).toMatchObject({
            name,
            shape,
            typeId: GGUF_TENSOR_TYPES[type].id,
            byteLength,
          });
          expect(info.offset % 32).toBe(0);
          expect(info.offset - end).toBeGreaterThanOrEqual(0);
          expect(info.offset - end).toBeLessThan(32);
          end = info.offset + byteLength;
        }
      }),
    );
  });

  it("asks for more bytes for every beginning of a header", () => {
    fc.assert(
      fc.property(anyMetadata, fc.array(anyTensor, { maxLength: 3 }), (metadata, tensors) => {
        const bytes = encodeGgufHeader(metadata, tensors);
        const { headerBytes } = decodeWhole(bytes)!;
        for (let length = 0; length < headerBytes; length += 7) {
          expect(decodeGgufHeader(bytes.subarray(0, length), bytes.byteLength + 2 ** 30)).toBe(
            undefined,
          );
        }
      }),
    );
  });

  it("throws GgufFormatError where the file ends within the header", () => {
    const bytes = encodeGgufHeader(new Map([["a", { type: "string", value: "text" }]]), []);
    const { headerBytes } = decodeWhole(bytes)!;
    for (let length = 0; length < headerBytes; length++) {
      expect(() => decodeGgufHeader(bytes.subarray(0, length), length)).toThrow(GgufFormatError);
    }
  });

  it("survives any bytes behind a good start", () => {
    const start = encodeGgufHeader(new Map(), []).subarray(0, 8);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (garbage) => {
        const bytes = Buffer.concat([start, garbage]);
        try {
          decodeGgufHeader(bytes, bytes.byteLength);
        } catch (error) {
          expect(error).toBeInstanceOf(GgufFormatError);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("survives any changed byte of a real header", () => {
    const bytes = encodeGgufHeader(
      new Map<string, GgufValue>([
        ["general.alignment", { type: "uint32", value: 64 }],
        ["tokens", { type: "array", elementType: "string", value: ["a", "bc"] }],
      ]),
      [{ name: "t", type: "Q8_0", shape: [32, 2] }],
    );
    fc.assert(
      fc.property(integer(0, bytes.byteLength - 1), integer(0, 255), (at, value) => {
        const changed = Uint8Array.from(bytes);
        changed[at] = value;
        try {
          decodeWhole(changed, 1024);
        } catch (error) {
          expect(error).toBeInstanceOf(GgufFormatError);
        }
      }),
      { numRuns: 3000 },
    );
  });

  const header = (...words: readonly (number | bigint)[]): Uint8Array =>
    Buffer.concat(
      words.map((word) => {
        const bytes = Buffer.alloc(typeof word === "bigint" ? 8 : 4);
        if (typeof word === "bigint") bytes.writeBigUInt64LE(word);
        else bytes.writeUInt32LE(word);
        return bytes;
      }),
    );
  const MAGIC = 0x46554747;
  it.each([
    ["another magic", header(0x12345678, 3, 0n, 0n), 'does not start with "GGUF"'],
    ["version 1", header(MAGIC, 1, 0n, 0n), "has version 1, wanted 2 or 3"],
    ["the other byte order", header(MAGIC, 0x03000000, 0n, 0n), "has version 50331648"],
    ["too many tensors", header(MAGIC, 3, 2n ** 40n, 0n), "claims to have 1099511627776 tensors"],
    ["too many entries", header(MAGIC, 3, 0n, 2n ** 63n), "metadata entries"],
    ["an endless key", header(MAGIC, 3, 0n, 1n, 2n ** 33n), "bytes in a metadata key"],
    ["an unknown type", header(MAGIC, 3, 0n, 1n, 0n, 13), "has the unknown type 13"],
    ["an array of arrays", header(MAGIC, 3, 0n, 1n, 0n, 9, 9), "has an array in an array"],
    ["an endless array", header(MAGIC, 3, 0n, 1n, 0n, 9, 0, 2n ** 62n), 'elements of ""'],
    ["a tensor of 5 dimensions", header(MAGIC, 3, 1n, 0n, 0n, 5), "has 5 dimensions"],
    [
      "a tensor beyond all numbers",
      header(MAGIC, 3, 1n, 0n, 0n, 2, 2n ** 40n, 2n ** 40n),
      "has the impossible shape",
    ],
    [
      "a row that is no whole block",
      header(MAGIC, 3, 1n, 0n, 0n, 1, 31n, 8, 0n),
      "has rows of 31 in type Q8_0",
    ],
  ])("refuses %s", (_, bytes, message) => {
    const decode = () => decodeGgufHeader(bytes, 1 << 20);
    expect(decode).toThrow(GgufFormatError);
    expect(decode).toThrow(message);
  });

  it("refuses a metadata key that comes twice", () => {
    const one = encodeGgufHeader(new Map([["k", { type: "bool", value: true }]]), []);
    const entry = one.subarray(24, decodeWhole(one)!.headerBytes);
    const bytes = Buffer.concat([one.subarray(0, 24), entry, entry]);
    bytes.writeBigUInt64LE(2n, 16);
    expect(() => decodeWhole(bytes)).toThrow('has the metadata key "k" twice');
  });

  it("keeps tensors of types it does not know, without a length", () => {
    const bytes = header(MAGIC, 3, 1n, 0n, 0n, 1, 7n, 9999, 0n);
    expect(decodeWhole(bytes)!.tensors).toEqual([
      { name: "", shape: [7], typeId: 9999, byteLength: undefined, offset: 0 },
    ]);
  });

  it("reads version 2", () => {
    const bytes = Buffer.from(encodeGgufHeader(new Map(), []));
    bytes.writeUInt32LE(2, 4);
    expect(decodeWhole(bytes)!.version).toBe(2);
  });

  it("pads the header to general.alignment", () => {
    const bytes = encodeGgufHeader(
      new Map([["general.alignment", { type: "uint32", value: 4096 }]]),
      [],
    );
    expect(bytes.byteLength).toBe(4096);
    expect(decodeWhole(bytes)!.dataOffset).toBe(4096);
  });
});
