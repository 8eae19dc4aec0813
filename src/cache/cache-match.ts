import type { ChunkKey, ChunkSpan } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import type { StackLease } from "./stack-lease.ts";

/** The leading chunks of a prompt that are stored, held until this is disposed. */
export class CacheMatch implements Disposable {
  readonly tokens: Int32Array;
  readonly spans: readonly ChunkSpan[];
  readonly lease: StackLease;

  /** @param spans of the whole prompt */
  constructor(tokens: Int32Array, spans: readonly ChunkSpan[], lease: StackLease) {
    this.tokens = tokens;
    this.spans = spans.slice(0, lease.keys.length);
    this.lease = lease;
  }

  /** The end of the last chunk: all tokens of the prompt, if it was stored whole. */
  get numTokens(): number {
    return this.spans.at(-1)?.end ?? 0;
  }

  [Symbol.dispose](): void {
    this.lease[Symbol.dispose]();
  }
}

/** A chunk on its way into an engine. Whoever it was given to disposes its buffer. */
export interface LoadedChunk {
  readonly kind: "tokens" | "state";
  readonly key: ChunkKey;
  readonly start: number;
  readonly end: number;
  readonly buffer: KvBuffer;
  /** Where the payload begins in the buffer. */
  readonly payloadOffset: number;
  readonly payloadBytes: number;
  /** What the payload's checksum must be, while nobody has compared; undefined afterwards. */
  readonly crc32: number | undefined;
}
