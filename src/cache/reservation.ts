import { setImmediate as nextTurn } from "node:timers/promises";
import { type ChunkSpan, MiB, tokenBytes } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import { type Chunk, chunkHeaderBytes, sealChunk } from "../tiers/index.ts";
import type { PromptPart } from "./prompt-chunker.ts";

/** Checksums are computed on the main thread: after this many bytes others have their turn. */
const SEAL_BYTES_PER_TURN = 4 * MiB;

/** Where an engine writes one chunk. */
export interface ReservedChunk extends PromptPart {
  readonly payload: Uint8Array;
  /** Of the payload, for native code; undefined in a pool without native memory. */
  readonly address: bigint | undefined;
}

/**
 * Pool memory for chunks that an engine is about to write. Passes through `CacheEngine.store`, or is
 * disposed.
 */
export class Reservation implements Disposable {
  readonly chunks: readonly ReservedChunk[];
  readonly #buffers: readonly KvBuffer[];
  /** Of the prompt, from position 0. */
  readonly tokens: Int32Array;
  readonly #from: number;
  readonly #fingerprint: string;
  #isDisposed = false;

  /**
   * @param parts those before position `from` are stored already
   * @param buffers one for each part there is room for, with room for header and payload
   */
  constructor(
    parts: readonly PromptPart[],
    buffers: readonly KvBuffer[],
    tokens: Int32Array,
    from: number,
    fingerprint: string,
  ) {
    this.#buffers = buffers;
    this.tokens = tokens;
    this.#from = from;
    this.#fingerprint = fingerprint;
    this.chunks = buffers.map((buffer, index) => {
      const part = parts[index]!;
      const offset = payloadOffset(part);
      const address = buffer.address === undefined ? undefined : buffer.address + BigInt(offset);
      return { ...part, payload: buffer.bytes.subarray(offset), address };
    });
  }

  get hasState(): boolean {
    return this.chunks.at(-1)?.kind === "state";
  }

  /** Tokens of the chunks there is room for. */
  get numTokens(): number {
    return this.numTokensOf(this.chunks.length);
  }

  /** Tokens that the first chunks add to what is stored. */
  numTokensOf(numChunks: number): number {
    return Math.max(0, (this.chunks[numChunks - 1]?.end ?? 0) - this.#from);
  }

  /** A handle on the last chunk of tokens, for whoever wants it and its prefix to stay in RAM. */
  retainLast(): KvBuffer | undefined {
    return this.#buffers[this.chunks.findLastIndex(({ kind }) => kind === "tokens")]?.retain();
  }

  /**
   * Writes the headers of the chunks whose payload is in place, up to the first that is not.
   *
   * @param lengths payload bytes of each chunk; 0, or missing, for one that was not written
   * @returns the chunks; their buffers remain the reservation's
   */
  async seal(lengths: readonly number[]): Promise<Chunk[]> {
    const sealed: Chunk[] = [];
    // An engine that has just copied its KV out goes on first.
    let turnBytes = SEAL_BYTES_PER_TURN;
    for (const index of this.chunks.keys()) {
      const payloadBytes = lengths[index];
      if (!payloadBytes) break;
      if (turnBytes >= SEAL_BYTES_PER_TURN) {
        await nextTurn();
        turnBytes = 0;
      }
      sealed.push(this.#sealOne(index, payloadBytes));
      turnBytes += payloadBytes;
    }
    return sealed;
  }

  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    for (const buffer of this.#buffers) buffer[Symbol.dispose]();
  }

  #sealOne(index: number, payloadBytes: number): Chunk {
    const { kind, key, parent, start, end } = this.chunks[index]!;
    const buffer = this.#buffers[index]!;
    buffer.resize(payloadOffset({ start, end }) + payloadBytes);
    const label = tokenBytes(this.tokens.subarray(start, end));
    const fingerprint = this.#fingerprint;
    sealChunk(buffer.bytes, { kind, key, parent, fingerprint, start, end, label });
    buffer.markChecked();
    return { key, parent, buffer };
  }
}

/** Bytes in front of the payload of a chunk of these tokens. */
export function payloadOffset(span: Pick<ChunkSpan, "start" | "end">): number {
  return chunkHeaderBytes((span.end - span.start) * Int32Array.BYTES_PER_ELEMENT);
}
