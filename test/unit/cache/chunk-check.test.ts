import { expect, test } from "vitest";
import { type ExpectedChunk, findDamage } from "../../../src/cache/chunk-check.ts";
import { type ChunkKey, tokenBytes } from "../../../src/core/index.ts";
import { HeapMemory, type KvBuffer, MemoryPool } from "../../../src/memory/index.ts";
import { chunkHeaderBytes, sealChunk } from "../../../src/tiers/index.ts";

const key = "ab".repeat(16) as ChunkKey;
const tokens = Int32Array.from({ length: 20 }, (_, index) => index * 3 - 10);
const expected: ExpectedChunk = {
  kind: "tokens",
  span: { key, parent: undefined, start: 8, end: 16 },
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
  const { span, fingerprint, kind } = expected;
  sealChunk(chunk, { ...span, kind, fingerprint, label, ...changes });
  return bufferOf(chunk);
}

test("findDamage() finds nothing wrong with what was asked for", () => {
  expect(findDamage(makeChunk(), expected)).toBeUndefined();
});

test.each([
  ["header", { kind: "state" }],
  ["fingerprint", { fingerprint: "f0".repeat(16) }],
  ["key", { key: "cd".repeat(16) }],
  ["positions", { start: 0 }],
  ["positions", { end: 17 }],
  ["tokens", { label: tokenBytes(tokens.subarray(7, 15)) }],
  ["tokens", { label: tokenBytes(tokens.subarray(8, 15)) }],
])("findDamage() calls it a wrong %s when the chunk says %j", (reason, changes) => {
  expect(findDamage(makeChunk(changes), expected)).toBe(reason);
});

test("findDamage() sees a payload that has changed, and bytes that are no chunk", () => {
  const chunk = makeChunk();
  const headerOnly = bufferOf(chunk.bytes.subarray(0, 4096));
  chunk.bytes[chunk.byteLength - 1]! ^= 1;
  expect(findDamage(chunk, expected)).toBe("payload");
  expect(findDamage(headerOnly, expected)).toBe("payload");
  expect(findDamage(bufferOf(new Uint8Array(5000)), expected)).toBe("header");
  expect(findDamage(bufferOf(new Uint8Array()), expected)).toBe("header");
});

test("findDamage() computes the checksum once for bytes that stay in memory", () => {
  const chunk = makeChunk();
  expect(chunk.isChecked).toBe(false);
  expect(findDamage(chunk, expected)).toBeUndefined();
  expect(chunk.isChecked).toBe(true);
});
