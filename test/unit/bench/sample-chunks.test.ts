import { expect, test } from "vitest";
import { sampleChunks } from "../../../src/bench/sample-chunks.ts";
import { isPayloadIntact, readChunkHeader } from "../../../src/tiers/index.ts";

test("sampleChunks() makes whole chunks of one prompt, each behind the one before", () => {
  const chunks = sampleChunks(3, 8192);
  const headers = chunks.map(({ bytes }) => readChunkHeader(bytes)!);
  expect(headers.map(({ start, end }) => [start, end])).toEqual([
    [0, 256],
    [256, 512],
    [512, 768],
  ]);
  expect(headers.map(({ key }) => key)).toEqual(chunks.map(({ key }) => key));
  expect(headers.map(({ parent }) => parent)).toEqual([undefined, chunks[0]!.key, chunks[1]!.key]);
  for (const [index, { bytes }] of chunks.entries()) {
    expect(bytes.byteLength % 4096).toBe(0);
    expect(isPayloadIntact(bytes, headers[index]!)).toBe(true);
  }
});
