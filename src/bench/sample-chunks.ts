import { ChunkKeyer, type ChunkKey } from "../core/index.ts";
import { chunkHeaderBytes, sealChunk } from "../tiers/index.ts";

/** A chunk outside the pool, as it would lie in the engine's memory, header in front. */
export interface SampleChunk {
  readonly key: ChunkKey;
  readonly parent: ChunkKey | undefined;
  readonly bytes: Uint8Array;
}

export const SAMPLE_CHUNK_TOKENS = 256;

const FINGERPRINT = "0123456789abcdef".repeat(2);

export function sampleTokens(numTokens: number): Int32Array {
  return Int32Array.from({ length: numTokens }, (_, position) => (position * 7919) % 32_000);
}

export function sampleKeyer(): ChunkKeyer {
  return new ChunkKeyer({ fingerprint: FINGERPRINT, chunkTokens: SAMPLE_CHUNK_TOKENS });
}

/** One long prompt's chunks, sealed, of `payloadBytes` each. */
export function sampleChunks(numChunks: number, payloadBytes: number): SampleChunk[] {
  const tokens = sampleTokens(numChunks * SAMPLE_CHUNK_TOKENS);
  const label = (start: number, end: number): Uint8Array =>
    new Uint8Array(tokens.slice(start, end).buffer);
  const headerBytes = chunkHeaderBytes(SAMPLE_CHUNK_TOKENS * Int32Array.BYTES_PER_ELEMENT);
  return sampleKeyer()
    .spans(tokens, false)
    .map(({ key, parent, start, end }, index) => {
      const bytes = Buffer.alloc(headerBytes + payloadBytes, index + 1);
      const header = { kind: "tokens", key, parent, fingerprint: FINGERPRINT, start, end } as const;
      sealChunk(bytes, { ...header, label: label(start, end) });
      return { key, parent, bytes };
    });
}
