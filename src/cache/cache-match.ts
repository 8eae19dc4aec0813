import type { ChunkKey } from "../core/index.ts";
import type { KvBuffer } from "../memory/index.ts";
import type { PromptPart } from "./prompt-chunker.ts";
import type { StackLease } from "./stack-lease.ts";

/** What is stored of a prompt and of use, held until this is disposed. */
export class CacheMatch implements Disposable {
  readonly tokens: Int32Array;
  /** All that must come in, in this order. */
  readonly parts: readonly PromptPart[];
  readonly lease: StackLease;
  /** Leading tokens whose chunks are known: at least those of `numTokens`. With a state part more could be of use. */
  readonly numKnownTokens: number;
  readonly #numTokens: number | undefined;

  /**
   * @param parts those that the lease holds
   * @param numTokens those of use, where they are fewer than those of the parts
   */
  constructor(
    tokens: Int32Array,
    parts: readonly PromptPart[],
    lease: StackLease,
    numKnownTokens: number,
    numTokens?: number,
  ) {
    this.#numTokens = numTokens;
    this.tokens = tokens;
    this.parts = parts;
    this.lease = lease;
    this.numKnownTokens = numKnownTokens;
  }

  /** At most the end of the last part: all tokens of the prompt, if it was stored whole. */
  get numTokens(): number {
    return this.#numTokens ?? this.parts.at(-1)?.end ?? 0;
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
