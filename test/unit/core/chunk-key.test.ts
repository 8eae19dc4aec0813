import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  ChunkKeyer,
  type ChunkKeyOptions,
  isChunkKey,
  stateKey,
  tokenBytes,
} from "../../../src/core/index.ts";

const fingerprint = "000102030405060708090a0b0c0d0e0f";
const first600 = Int32Array.from({ length: 600 }, (_, index) => index);

function keys(tokens: Int32Array, options: Partial<ChunkKeyOptions> = {}): string[] {
  const keyer = new ChunkKeyer({ fingerprint, chunkTokens: 256, ...options });
  return keyer.spans(tokens, true).map((span) => span.key);
}

/** The rule once more, in its own words. */
function expectedKeys(tokens: Int32Array, chunkTokens: number, salt: string): string[] {
  const saltBytes = Buffer.byteLength(salt);
  const sha = (...parts: (string | Uint8Array)[]): Buffer => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest().subarray(0, 16);
  };
  let link = sha(`warmkv-key-v1\0${fingerprint}\0${chunkTokens}\0${saltBytes}\0${salt}`);
  const links: string[] = [];
  for (let start = 0; start < tokens.length; start += chunkTokens) {
    const chunk = Buffer.alloc(Math.min(chunkTokens, tokens.length - start) * 4);
    for (let at = 0; at < chunk.length; at += 4) chunk.writeInt32LE(tokens[start + at / 4]!, at);
    link = sha(link, chunk);
    links.push(link.toString("hex"));
  }
  return links;
}

describe("ChunkKeyer.spans()", () => {
  test("gives the keys that other machines and versions give", () => {
    expect(keys(first600)).toEqual([
      "409fa659dd22ebbac6c3c5f9fad74fad",
      "2c266675aeb3964d8fd21e7050462101",
      "6206940bf27653dd677ee4e51e0ee40a",
    ]);
    expect(keys(first600, { salt: "tenant-ä" })).toEqual([
      "834b7b98aeaccfb22aaca19e1a717c05",
      "3a64eb4dbfe2d2113d6cef9851cef517",
      "52d0eae91d62bb0ff8d37f37a501be8e",
    ]);
    const extremes = Int32Array.of(0, 1, -1, 2 ** 31 - 1, -(2 ** 31), 151643);
    expect(keys(extremes, { chunkTokens: 4 })).toEqual([
      "813acba3bf96c0422d23c79caa5e232c",
      "261849da6b0b963b11469a4ae6ade0d8",
    ]);
  });

  test("follows its rule for any tokens, chunk size and salt", () => {
    fc.assert(
      fc.property(
        fc.int32Array({ maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        fc.string({ unit: "grapheme", maxLength: 8 }),
        (tokens, chunkTokens, salt) => {
          expect(keys(tokens, { chunkTokens, salt })).toEqual(
            expectedKeys(tokens, chunkTokens, salt),
          );
        },
      ),
    );
  });

  test("reads a view of tokens that does not begin at its buffer's start", () => {
    const whole = Int32Array.from({ length: 700 }, (_, index) => index - 100);
    expect(keys(whole.subarray(100))).toEqual(keys(first600));
  });

  test.each([
    [0, 0, 0],
    [1, 0, 1],
    [255, 0, 255],
    [256, 1, 0],
    [257, 1, 1],
    [511, 1, 255],
    [512, 2, 0],
    [513, 2, 1],
  ])("cuts %d tokens into %d chunks and a tail of %d", (numTokens, numWhole, numTail) => {
    const keyer = new ChunkKeyer({ fingerprint, chunkTokens: 256 });
    const tokens = first600.subarray(0, numTokens);
    const whole = keyer.spans(tokens, false);
    const all = keyer.spans(tokens, true);
    expect(whole).toHaveLength(numWhole);
    expect(all.slice(0, numWhole)).toEqual(whole);
    expect(all.slice(numWhole).map((span) => span.end - span.start)).toEqual(
      numTail > 0 ? [numTail] : [],
    );
    expect(all.map((span) => span.start)).toEqual(all.map((_, index) => index * 256));
    expect(all.map((span) => span.parent)).toEqual([
      ...(all.length > 0 ? [undefined] : []),
      ...all.slice(0, -1).map((span) => span.key),
    ]);
  });

  test("the key of a tail differs from that of the whole chunk", () => {
    expect(keys(first600.subarray(0, 255))[0]).not.toBe(keys(first600.subarray(0, 256))[0]);
  });

  test("one token, the salt, the model or the chunk size changes every key behind it", () => {
    const base = keys(first600);
    const changed = first600.slice();
    changed[300] = 7;
    expect(keys(changed)[0]).toBe(base[0]);
    expect(keys(changed).slice(1)).not.toContain(base[1]);
    expect(keys(changed)[2]).not.toBe(base[2]);
    for (const other of [
      keys(first600, { salt: "a" }),
      keys(first600, { fingerprint: "ff".repeat(16) }),
      keys(first600, { chunkTokens: 255 }),
    ]) {
      expect(other.filter((key) => base.includes(key))).toEqual([]);
    }
  });
});

test("stateKey() belongs to one boundary", () => {
  const spans = new ChunkKeyer({ fingerprint, chunkTokens: 256 }).spans(first600, false);
  expect(stateKey(spans[0]!.key)).toBe("c39c97632ad5919d313b01c0b7a246fb");
  expect(stateKey(spans[1]!.key)).not.toBe(stateKey(spans[0]!.key));
});

test("isChunkKey() takes 32 lower-case hex digits and nothing else", () => {
  expect(isChunkKey("409fa659dd22ebbac6c3c5f9fad74fad")).toBe(true);
  for (const text of [
    "",
    "409FA659DD22EBBAC6C3C5F9FAD74FAD",
    "409f",
    "g".repeat(32),
    "0".repeat(33),
  ]) {
    expect(isChunkKey(text)).toBe(false);
  }
});

test("tokenBytes() writes token ids as little-endian int32, from any view", () => {
  expect(Buffer.from(tokenBytes(Int32Array.of(9, 1, -2).subarray(1))).toString("hex")).toBe(
    "01000000feffffff",
  );
});
