import { createHash } from "node:crypto";
import { ChunkKeyer, type ChunkKey } from "../../../src/core/index.ts";
import { HeapMemory, type KvBuffer, MemoryPool } from "../../../src/memory/index.ts";
import {
  type Chunk,
  chunkHeaderBytes,
  isPayloadIntact,
  readChunkHeader,
  sealChunk,
} from "../../../src/tiers/index.ts";

const CHUNK_TOKENS = 4;
const PAYLOAD_BYTES = 2000;
const FINGERPRINT = "00112233445566778899aabbccddeeff";
/** A header page and a payload page. */
export const SLAB_BYTES = 8192;

export function makePool(numSlabs: number): MemoryPool {
  return new MemoryPool(new HeapMemory(numSlabs * SLAB_BYTES), SLAB_BYTES);
}

export interface ChunkSpec {
  readonly key: ChunkKey;
  readonly parent: ChunkKey | undefined;
  readonly start: number;
  readonly end: number;
  readonly tokens: Int32Array;
  readonly payloadBytes?: number;
}

/** The chunks of a made-up prompt. The first `numShared` are the same whatever the seed. */
export function promptChunks(seed: number, numChunks: number, numShared = 0): ChunkSpec[] {
  const tokens = Int32Array.from({ length: numChunks * CHUNK_TOKENS }, (_, position) =>
    position < numShared * CHUNK_TOKENS ? position : seed * 100_000 + position,
  );
  const keyer = new ChunkKeyer({ fingerprint: FINGERPRINT, chunkTokens: CHUNK_TOKENS });
  return keyer
    .spans(tokens, false)
    .map((span) => ({ ...span, tokens: tokens.slice(span.start, span.end) }));
}

export function keysOf(specs: readonly ChunkSpec[]): ChunkKey[] {
  return specs.map((spec) => spec.key);
}

/** A sealed chunk in pool memory, whose payload follows from its key. */
export function makeChunk(pool: MemoryPool, spec: ChunkSpec): Chunk {
  const { payloadBytes = PAYLOAD_BYTES } = spec;
  const buffer = pool.tryAllocate(chunkHeaderBytes(spec.tokens.byteLength) + payloadBytes);
  if (buffer === undefined) throw new Error("The test's pool is too small");
  buffer.bytes.set(payloadOf(spec.key, payloadBytes), chunkHeaderBytes(spec.tokens.byteLength));
  sealChunk(buffer.bytes, {
    kind: "tokens",
    key: spec.key,
    parent: spec.parent,
    fingerprint: FINGERPRINT,
    start: spec.start,
    end: spec.end,
    label: new Uint8Array(spec.tokens.buffer, spec.tokens.byteOffset, spec.tokens.byteLength),
  });
  return { key: spec.key, parent: spec.parent, buffer };
}

/** Makes the chunks, hands them to `store`, and gives its own handles back. */
export async function storeChunks(
  tier: { store(chunks: readonly Chunk[]): Promise<number> },
  pool: MemoryPool,
  specs: readonly ChunkSpec[],
): Promise<number> {
  const chunks = specs.map((spec) => makeChunk(pool, spec));
  try {
    return await tier.store(chunks);
  } finally {
    for (const chunk of chunks) chunk.buffer[Symbol.dispose]();
  }
}

/** Whether the buffer holds exactly what makeChunk wrote for this key. */
export function isIntactChunk(buffer: KvBuffer, key: ChunkKey): boolean {
  const header = readChunkHeader(buffer.bytes);
  return (
    header !== undefined &&
    header.key === key &&
    isPayloadIntact(buffer.bytes, header) &&
    Buffer.compare(
      buffer.bytes.subarray(header.headerBytes),
      payloadOf(key, header.payloadBytes),
    ) === 0
  );
}

function payloadOf(key: ChunkKey, payloadBytes: number): Uint8Array {
  const block = createHash("sha512").update(key).digest();
  const payload = new Uint8Array(payloadBytes);
  for (let at = 0; at < payloadBytes; at++) payload[at] = block[at % block.byteLength]!;
  return payload;
}
