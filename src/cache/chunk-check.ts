import type { ChunkSpan } from "../core/index.ts";
import { isPayloadIntact, readChunkHeader } from "../tiers/index.ts";

/** Why a stored chunk must not enter an engine. */
export type ChunkDamage =
  /** No header, a torn one, or one of another version. */
  | "header"
  /** Made by another model, or with other settings that decide the bytes. */
  | "fingerprint"
  /** Another chunk than its place says. */
  | "key"
  | "positions"
  | "tokens"
  /** Truncated, or bits have changed. */
  | "payload";

export interface ExpectedChunk {
  readonly kind: "tokens" | "state";
  readonly span: ChunkSpan;
  readonly fingerprint: string;
  /** Of the request, from position 0. */
  readonly tokens: Int32Array;
}

/**
 * Compares a chunk with what was asked for. Engines verify nothing themselves, and a wrong chunk
 * means wrong answers: nothing enters one without passing here.
 *
 * @returns undefined when all is well
 */
export function findDamage(chunk: Uint8Array, expected: ExpectedChunk): ChunkDamage | undefined {
  const { kind, span, fingerprint, tokens } = expected;
  const header = readChunkHeader(chunk);
  if (header === undefined || header.kind !== kind) return "header";
  if (header.fingerprint !== fingerprint) return "fingerprint";
  if (header.key !== span.key) return "key";
  if (header.start !== span.start || header.end !== span.end) return "positions";
  const label = tokenLabel(tokens.subarray(span.start, span.end));
  if (Buffer.compare(header.label, label) !== 0) return "tokens";
  return isPayloadIntact(chunk, header) ? undefined : "payload";
}

const isLittleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** The token ids as a chunk's header has them: little-endian, whatever the machine. */
export function tokenLabel(tokens: Int32Array): Uint8Array {
  const bytes = Buffer.from(tokens.buffer, tokens.byteOffset, tokens.byteLength);
  return isLittleEndian ? bytes : Buffer.from(bytes).swap32();
}
