import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findHalfRows, halfRowsFinder } from "../../../src/engine/llama/half-rows.ts";
import type { MemoryLayout } from "../../../src/engine/llama/memory-layout.ts";

interface Shape {
  readonly numCells: number;
  /** Bytes of a row of K, and of V; 0: K holds V. */
  readonly rowBytes: readonly [number, number];
  readonly numLayers: number;
  readonly hasManyPositions?: boolean;
  readonly type?: number;
}

function blobOf(shape: Shape): Buffer {
  const { numCells, rowBytes, numLayers, hasManyPositions = false, type = 1 } = shape;
  const u32 = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);
  const cells = Array.from({ length: numCells }, (_, i) =>
    hasManyPositions ? u32(i, 0, 0, 0, 1, 7) : u32(i, 1, 7),
  );
  const records = rowBytes.flatMap((bytes) =>
    bytes === 0
      ? []
      : Array.from({ length: numLayers }, () =>
          Buffer.concat([u32(type, bytes, 0), Buffer.alloc(numCells * bytes, 0x3c)]),
        ),
  );
  return Buffer.concat([u32(0, 0, 1, numCells), ...cells, u32(0, numLayers), ...records]);
}

const shapes = fc.record({
  numCells: fc.integer({ min: 1, max: 9 }),
  rowBytes: fc.tuple(fc.constantFrom(64, 128, 1152), fc.constantFrom(0, 64, 256)),
  numLayers: fc.integer({ min: 1, max: 5 }),
  hasManyPositions: fc.boolean(),
});

describe("findHalfRows()", () => {
  test("finds all rows and nothing but rows", () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const blob = blobOf(shape);
        const rows = findHalfRows(blob)!;
        const [keyBytes, valueBytes] = shape.rowBytes;
        expect(rows).toHaveLength(shape.numLayers * (valueBytes === 0 ? 1 : 2));
        for (const [i, { start, end, rowBytes }] of rows.entries()) {
          expect(rowBytes).toBe(i < shape.numLayers ? keyBytes : valueBytes);
          expect(end - start).toBe(rowBytes * shape.numCells);
          expect(blob.subarray(start, end).every((byte) => byte === 0x3c)).toBe(true);
          expect(blob.readUInt32LE(start - 12)).toBe(1);
        }
        expect(rows.at(-1)!.end).toBe(blob.length);
      }),
    );
  });

  test("finds none in another type, in bytes that are cut off, and in bytes with something behind them", () => {
    const shape: Shape = { numCells: 4, rowBytes: [64, 64], numLayers: 2 };
    expect(findHalfRows(blobOf({ ...shape, type: 8 }))).toBeUndefined();
    const blob = blobOf(shape);
    expect(findHalfRows(Buffer.concat([blob, Buffer.alloc(8)]))).toBeUndefined();
    // Cut behind all of K, they are a model's whose K holds V.
    const lengths = [...blob.keys()].filter(
      (length) => length !== blobOf({ ...shape, rowBytes: [64, 0] }).length,
    );
    for (const length of lengths) {
      expect(findHalfRows(blob.subarray(0, length))).toBeUndefined();
    }
  });

  test("never fails on other bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        expect(findHalfRows(bytes)).toBeUndefined();
      }),
    );
  });
});

describe("halfRowsFinder()", () => {
  const layout: MemoryLayout = {
    kind: "dense",
    unsupportedReason: undefined,
    windowTokens: 0,
    tokenPart: { baseBytes: 24 + 12 * 8, tokenBytes: 1000, maxTokens: Infinity },
    statePart: { baseBytes: 0, tokenBytes: 0, maxTokens: 0 },
  };

  test("is there for one cache of f16", () => {
    expect(halfRowsFinder(layout, "f16")).toBe(findHalfRows);
  });

  test.each([
    ["another type", layout, "q8_0"],
    ["a sliding window", { ...layout, kind: "window" } as const, "f16"],
    [
      "two caches",
      { ...layout, tokenPart: { ...layout.tokenPart, baseBytes: 40 + 12 * 8 } },
      "f16",
    ],
  ])("is not there for %s", (_, memory, kvType) => {
    expect(halfRowsFinder(memory, kvType)).toBeUndefined();
  });
});
