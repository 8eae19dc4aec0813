import { crc32 as computeCrc32 } from "node:zlib";
import { tokenBytes } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import { readChunkHeader } from "../tiers/index.ts";
import type { LoadedChunk } from "./cache-match.ts";
import type { PromptPart } from "./prompt-chunker.ts";

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
  readonly part: PromptPart;
  readonly fingerprint: string;
  /** Of the request, from position 0. */
  readonly tokens: Int32Array;
}

/** A chunk that is what was asked for, as far as its header says; or why it is not. */
export type CheckedHeader =
  | { readonly damage: ChunkDamage }
  | { readonly damage: undefined; readonly chunk: LoadedChunk };

/**
 * Compares a chunk with what was asked for. Engines verify nothing themselves, and a wrong chunk
 * means wrong answers: nothing enters one without passing here, and without its payload being compared with its
 * checksum once since it has come in from outside.
 */
export function checkHeader(buffer: KvBuffer, expected: ExpectedChunk): CheckedHeader {
  const { fingerprint, tokens } = expected;
  const { kind, key, start, end } = expected.part;
  const header = readChunkHeader(buffer.bytes);
  if (header === undefined || header.kind !== kind) return { damage: "header" };
  if (header.fingerprint !== fingerprint) return { damage: "fingerprint" };
  if (header.key !== key) return { damage: "key" };
  if (header.start !== start || header.end !== end) return { damage: "positions" };
  const label = tokenBytes(tokens.subarray(start, end));
  if (Buffer.compare(header.label, label) !== 0) return { damage: "tokens" };
  const { headerBytes: payloadOffset, payloadBytes, payloadCrc32 } = header;
  if (buffer.byteLength !== payloadOffset + payloadBytes) return { damage: "payload" };
  const crc32 = buffer.isChecked ? undefined : payloadCrc32;
  return {
    damage: undefined,
    chunk: { kind, key, start, end, buffer, payloadOffset, payloadBytes, crc32 },
  };
}

/** Computes the payload's checksum, unless somebody has: it takes as long as the engine's own copy. */
export function verifyPayload({ buffer, payloadOffset, crc32 }: LoadedChunk): boolean {
  if (crc32 === undefined || buffer.isChecked) return true;
  if (computeCrc32(buffer.bytes.subarray(payloadOffset)) !== crc32) return false;
  buffer.markChecked();
  return true;
}
