import { expect, test } from "vitest";
import { type ExpectedChunk, checkHeader, verifyPayload } from "../../../src/cache/chunk-check.ts";
import { type ChunkKey, tokenBytes } from "../../../src/core/index.ts";
import { HeapMemory, type KvBuffer, MemoryPool } from "../../../src/memory/index.ts";
import { chunkHeaderBytes, sealChunk } from "../../../src/tiers/index.ts";

const key = "ab".repeat(16) as ChunkKey;
const tokens = Int32Array.from({ length: 20 }, (_, index) => index * 3 - 10);
const expected: ExpectedChunk = {
  part: { kind: "tokens", key, parent: undefined, start: 8, end: 16 },
  fingerprint: "0f".repeat(16),
  tokens,
};

const pool = new MemoryPool(new HeapMemory(64 * 8192), 8192);

function bufferOf(bytes: Uint8Array): KvBuffer {
  const buffer = pool.tryAllocate(bytes.byteLength)!;
  buffer.bytes.set(bytes);
  return buffer;
}

function makeChunk(changes: object = {}): KvBuffer {
  const label = tokenBytes(tokens.subarray(8, 16));
  const chunk = new Uint8Array(chunkHeaderBytes(label.byteLength) + 100).fill(7);
  const { part, fingerprint } = expected;
  sealChunk(chunk, { ...part, fingerprint, label, ...changes });
  return bufferOf(chunk);
}

/** All that is looked at before a chunk enters an engine. */
function findDamage(buffer: KvBuffer): string | undefined {
  const checked = checkHeader(buffer, expected);
  if (checked.damage !== undefined) return checked.damage;
  return verifyPayload(checked.chunk) ? undefined : "payload";
}

test("the checks find nothing wrong with what was asked for", () => {
  expect(findDamage(makeChunk())).toBeUndefined();
});

test.each([
  ["header", { kind: "state" }],
  ["fingerprint", { fingerprint: "f0".repeat(16) }],
  ["key", { key: "cd".repeat(16) }],
  ["positions", { start: 0 }],
  ["positions", { end: 17 }],
  ["tokens", { label: tokenBytes(tokens.subarray(7, 15)) }],
  ["tokens", { label: tokenBytes(tokens.subarray(8, 15)) }],
])("checkHeader() calls it a wrong %s when the chunk says %j", (reason, changes) => {
  expect(findDamage(makeChunk(changes))).toBe(reason);
});

test("the checks see a payload that has changed, and bytes that are no chunk", () => {
  const chunk = makeChunk();
  const headerOnly = bufferOf(chunk.bytes.subarray(0, 4096));
  chunk.bytes[chunk.byteLength - 1]! ^= 1;
  expect(findDamage(chunk)).toBe("payload");
  expect(findDamage(headerOnly)).toBe("payload");
  expect(findDamage(bufferOf(new Uint8Array(5000)))).toBe("header");
  expect(findDamage(bufferOf(new Uint8Array()))).toBe("header");
});

test("the checksum is computed once for bytes that stay in memory", () => {
  const chunk = makeChunk();
  expect(chunk.isChecked).toBe(false);
  expect(findDamage(chunk)).toBeUndefined();
  expect(chunk.isChecked).toBe(true);
  const checked = checkHeader(chunk, expected);
  expect(checked).toMatchObject({ chunk: { crc32: undefined } });
});
