import { type ChunkSpan, tokenBytes } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
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
 * means wrong answers: nothing enters one without passing here. The payload's checksum is computed
 * once for each time the bytes come in from outside: it takes as long as the engine's own copy.
 *
 * @returns undefined when all is well
 */
export function findDamage(buffer: KvBuffer, expected: ExpectedChunk): ChunkDamage | undefined {
  const { kind, span, fingerprint, tokens } = expected;
  const chunk = buffer.bytes;
  const header = readChunkHeader(chunk);
  if (header === undefined || header.kind !== kind) return "header";
  if (header.fingerprint !== fingerprint) return "fingerprint";
  if (header.key !== span.key) return "key";
  if (header.start !== span.start || header.end !== span.end) return "positions";
  const label = tokenBytes(tokens.subarray(span.start, span.end));
  if (Buffer.compare(header.label, label) !== 0) return "tokens";
  if (buffer.isChecked) return undefined;
  if (!isPayloadIntact(chunk, header)) return "payload";
  buffer.markChecked();
  return undefined;
}
