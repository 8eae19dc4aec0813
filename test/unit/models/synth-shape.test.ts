import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { formatParamCount, parseParamCount, synthShape } from "../../../src/models/synth-shape.ts";

describe("parseParamCount()", () => {
  it.each([
    ["1m", 1_000_000],
    ["25m", 25_000_000],
    ["25M", 25_000_000],
    [" 2.5m ", 2_500_000],
    ["0.5b", 500_000_000],
    ["1b", 1_000_000_000],
    ["1000m", 1_000_000_000],
    ["1.1m", 1_100_000],
    ["12345678", 12_345_678],
  ])("reads %j", (text, numParams) => {
    expect(parseParamCount(text)).toBe(numParams);
  });

  it.each([
    "",
    "m",
    "25",
    "0",
    "0m",
    "-25m",
    "0.4m",
    "1.1b",
    "7b",
    "25k",
    "25 mb",
    "1e8",
    "NaN",
    "25m,",
  ])("refuses %j with a sentence that names it", (text) => {
    const parse = () => parseParamCount(text);
    expect(parse).toThrow(UsageError);
    expect(parse).toThrow(`of "${text}" parameters: wanted a number from 0.5m to 1b`);
  });

  it("reads what formatParamCount() writes", () => {
    expect([1e6, 25e6, 1.5e6, 1e9].map(formatParamCount)).toEqual(["1m", "25m", "1.5m", "1b"]);
    fc.assert(
      fc.property(fc.integer({ min: 1e6, max: 1e9 }), (numParams) => {
        expect(parseParamCount(formatParamCount(numParams))).toBe(numParams);
      }),
    );
  });
});

describe("synthShape()", () => {
  it.each([
    ["1m", 2, 256, 192],
    ["25m", 8, 512, 1216],
    ["100m", 15, 768, 1728],
    ["0.5b", 27, 1280, 2880],
    ["1b", 27, 1792, 4224],
  ])(
    "makes %s of %i layers of %i, feed-forward %i",
    (size, numLayers, width, feedForwardLength) => {
      expect(synthShape(parseParamCount(size))).toMatchObject({
        numLayers,
        embeddingLength: width,
        feedForwardLength,
        numHeads: width / 32,
        numKvHeads: width / 256,
      });
    },
  );

  it("comes within a tenth of any size", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1e6, max: 1e9 }), (numParams) => {
        const shape = synthShape(numParams);
        expect(shape.numParameters / numParams).toBeGreaterThan(0.9);
        expect(shape.numParameters / numParams).toBeLessThan(1.1);
        expect(shape.feedForwardLength % 64).toBe(0);
      }),
      { numRuns: 1000 },
    );
  });
});
