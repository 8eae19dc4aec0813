import { crc32 } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import {
  type ChunkHeader,
  chunkHeaderBytes,
  isPayloadIntact,
  readChunkHeader,
  sealChunk,
} from "../../../src/tiers/index.ts";

const header = {
  kind: "tokens",
  key: "00112233445566778899aabbccddeeff" as ChunkKey,
  parent: "ffeeddccbbaa99887766554433221100" as ChunkKey,
  fingerprint: "0123456789abcdef0123456789abcdef",
  start: 256,
  end: 512,
  label: new Uint8Array(1024).map((_, index) => index * 7),
} as const;

function makeChunk(payloadBytes: number, fields: Partial<ChunkHeader> = {}): Uint8Array {
  const all = { ...header, ...fields };
  const headerBytes = chunkHeaderBytes(all.label.byteLength);
  const chunk = new Uint8Array(headerBytes + payloadBytes);
  for (let at = headerBytes; at < chunk.length; at++) chunk[at] = (at * 2654435761) >>> 24;
  sealChunk(chunk, all);
  return chunk;
}

function isAccepted(chunk: Uint8Array): boolean {
  const read = readChunkHeader(chunk);
  return read !== undefined && isPayloadIntact(chunk, read);
}

function flipped(chunk: Uint8Array, at: number, mask: number): Uint8Array {
  const copy = chunk.slice();
  copy[at]! ^= mask;
  return copy;
}

describe("a sealed chunk", () => {
  test.each(["tokens", "state", "opaque"] as const)("reads back as it was written (%s)", (kind) => {
    for (const parent of [header.parent, undefined]) {
      const chunk = makeChunk(5000, { kind, parent });
      expect(readChunkHeader(chunk)).toEqual({
        ...header,
        kind,
        parent,
        payloadBytes: 5000,
        payloadCrc32: crc32(chunk.subarray(4096)),
        headerBytes: 4096,
      });
      expect(isAccepted(chunk)).toBe(true);
    }
  });

  test("may have no label and no payload", () => {
    expect(isAccepted(makeChunk(0, { label: new Uint8Array() }))).toBe(true);
  });

  test("has its payload at a whole page, whatever the length of the label", () => {
    expect([0, 4000, 4001, 8096, 8097].map(chunkHeaderBytes)).toEqual([
      4096, 4096, 8192, 8192, 12288,
    ]);
    const chunk = makeChunk(10, { label: new Uint8Array(4001).fill(3) });
    expect(readChunkHeader(chunk)).toMatchObject({ headerBytes: 8192, payloadBytes: 10 });
    expect(isAccepted(chunk)).toBe(true);
  });

  test("is read from any offset of a larger buffer", () => {
    const chunk = makeChunk(100);
    const larger = new Uint8Array(chunk.length + 3);
    larger.set(chunk, 3);
    expect(isAccepted(larger.subarray(3))).toBe(true);
  });

  test("overwrites what an earlier chunk left in its header", () => {
    const chunk = makeChunk(100);
    sealChunk(chunk, { ...header, label: Uint8Array.of(9) });
    expect(readChunkHeader(chunk)?.label).toEqual(Uint8Array.of(9));
    expect(chunk.subarray(97, 4096).every((byte) => byte === 0)).toBe(true);
  });

  test("is not accepted when any byte of its header is changed", () => {
    const chunk = makeChunk(64);
    for (let at = 0; at < 4096; at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        expect(isAccepted(flipped(chunk, at, mask)), `byte ${at}`).toBe(false);
      }
    }
  });

  test("is not accepted when any bit of its payload is flipped", () => {
    const chunk = makeChunk(20_000);
    fc.assert(
      fc.property(
        fc.integer({ min: 4096, max: chunk.length - 1 }),
        fc.integer({ min: 0, max: 7 }),
        (at, bit) => {
          expect(isAccepted(flipped(chunk, at, 1 << bit))).toBe(false);
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("is not accepted when cut or continued anywhere", () => {
    const chunk = makeChunk(3 * 4096);
    for (let length = 0; length < chunk.length; length += 512) {
      expect(isAccepted(chunk.subarray(0, length)), `${length} bytes`).toBe(false);
    }
    expect(isAccepted(chunk.subarray(0, chunk.length - 1))).toBe(false);
    const longer = new Uint8Array(chunk.length + 1);
    longer.set(chunk);
    expect(isAccepted(longer)).toBe(false);
  });

  test("random bytes and zeros are no chunk", () => {
    expect(readChunkHeader(new Uint8Array(8192))).toBeUndefined();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 4096, maxLength: 4200 }), (bytes) => {
        expect(readChunkHeader(bytes)).toBeUndefined();
      }),
      { numRuns: 50 },
    );
  });

  test("a header with lengths beyond reason is refused without reading there", () => {
    const chunk = makeChunk(64);
    const view = new DataView(chunk.buffer);
    for (const value of [0, 1, 4095, 4097, 2 ** 31, 2 ** 32 - 1]) {
      view.setUint32(8, value, true);
      view.setUint32(80, value, true);
      expect(readChunkHeader(chunk)).toBeUndefined();
    }
  });
});
