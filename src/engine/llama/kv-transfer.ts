import { crc32 } from "node:zlib";
import type { EngineKvPart } from "../../connector/connector.ts";
import { koffi } from "../../native/index.ts";
import { STATE_PARTIAL_ONLY } from "./bindings.ts";
import type { LlamaContext } from "./context.ts";
import type { MemoryLayout } from "./memory-layout.ts";

/** In llama.cpp's bytes of a sequence: how many cells follow, and the position of one of them. */
const NUM_CELLS_AT = 12;
const POSITION_AT = 16;
/** In front of the window or state in PARTIAL_ONLY bytes; in the bytes of all it stands once, at the front. */
const STATE_HEADER_BYTES = 8;

/**
 * Moves KV between sequences and memory of others. Chunks of tokens pass through the scratch sequence, so
 * that a range can be cut out:
 *
 *     extract   sequence --cp [start, end)--> scratch --get_data--> slab     then scratch is emptied
 *     restore   slab --set_data--> scratch --cp--> sequence                  then scratch is emptied
 *
 * The copies between sequences share cells and move no bytes. A state part is read from the sequence itself
 * while it ends at the boundary, and written into it behind all its chunks: copying a chunk takes an empty state
 * along.
 *
 * llama.cpp accepts any blob of the right shape and checks no position: what comes in is compared with what
 * was asked for, step by step, and bytes that nobody has checked come with their checksum.
 */
export class KvTransfer {
  readonly #context: LlamaContext;
  readonly #layout: MemoryLayout;
  /** The state part of an empty sequence. */
  readonly #emptyState: Buffer;
  /** Bytes of an empty sequence. */
  readonly #emptyBytes: number;
  /** Where the chunks end that are in a sequence whose state part is still to come. */
  readonly #restoredTo = new Map<number, number>();

  constructor(context: LlamaContext, layout: MemoryLayout) {
    this.#context = context;
    this.#layout = layout;
    const scratch = context.scratchSequence;
    this.#emptyBytes = context.stateBytes(scratch, 0);
    const numBytes = context.stateBytes(scratch, STATE_PARTIAL_ONLY);
    this.#emptyState = Buffer.alloc(numBytes);
    context.readState(scratch, STATE_PARTIAL_ONLY, this.#emptyState, numBytes);
  }

  /** @returns the length of each part in bytes; 0 for one that failed */
  extract(sequence: number, parts: readonly EngineKvPart[]): number[] {
    return parts.map((part) =>
      part.kind === "state" ? this.#extractState(sequence, part) : this.#extractOne(sequence, part),
    );
  }

  #extractState(sequence: number, part: EngineKvPart): number {
    const context = this.#context;
    if (!this.#standsAt(sequence, part.end)) return 0;
    const numBytes = context.stateBytes(sequence, this.#stateFlags);
    if (numBytes > part.byteLength) return 0;
    const numRead = context.readState(sequence, this.#stateFlags, part.address, numBytes);
    return numRead === numBytes ? numBytes : 0;
  }

  #extractOne(sequence: number, part: EngineKvPart): number {
    const context = this.#context;
    if (context.lastPosition(sequence) < part.end - 1) return 0;
    const scratch = context.scratchSequence;
    context.copyRange(sequence, scratch, part.start, part.end);
    try {
      const { kind } = this.#layout;
      if (kind === "window") return this.#readWithoutWindow(part);
      // The copy took the sequence's state along, which is that of another position.
      if (kind === "hybrid" && !this.#writeState(scratch, this.#emptyState)) return 0;
      const numBytes = context.stateBytes(scratch, 0);
      if (numBytes > part.byteLength) return 0;
      const numRead = context.readState(scratch, 0, part.address, part.byteLength);
      return numRead === numBytes && isOf(bytesOf(part), part) ? numBytes : 0;
    } finally {
      context.removeRange(scratch, -1, -1);
    }
  }

  /** What the window holds of a chunk comes last: an empty one takes its place. */
  #readWithoutWindow(part: EngineKvPart): number {
    const context = this.#context;
    const scratch = context.scratchSequence;
    const windowBytes = context.stateBytes(scratch, STATE_PARTIAL_ONLY) - STATE_HEADER_BYTES;
    const all = Buffer.allocUnsafe(context.stateBytes(scratch, 0));
    if (context.readState(scratch, 0, all, all.length) !== all.length) return 0;
    const chunk = all.subarray(0, all.length - windowBytes);
    const emptyWindow = this.#emptyState.subarray(STATE_HEADER_BYTES);
    const numBytes = chunk.length + emptyWindow.length;
    if (numBytes > part.byteLength || !isOf(chunk, part)) return 0;
    const target = bytesOf(part);
    target.set(chunk);
    target.set(emptyWindow, chunk.length);
    return numBytes;
  }

  /**
   * Appends parts to a sequence that ends where the first part starts.
   *
   * @returns how many are in. When it is fewer than asked, the sequence ends behind the last one that is in;
   *   a sequence that needs a state is then empty, whatever came before, and the answer is 0
   */
  restore(sequence: number, parts: readonly EngineKvPart[]): number {
    if (this.#layout.kind === "dense") return this.#restoreDense(sequence, parts);
    const isWhole = parts.every((part) =>
      part.kind === "state" ? this.#restoreState(sequence, part) : this.#restoreOne(sequence, part),
    );
    if (isWhole) return parts.length;
    this.#restoredTo.delete(sequence);
    this.#context.removeRange(this.#context.scratchSequence, -1, -1);
    this.#context.removeRange(sequence, -1, -1);
    return 0;
  }

  #restoreDense(sequence: number, parts: readonly EngineKvPart[]): number {
    const context = this.#context;
    const scratch = context.scratchSequence;
    let numRestored = 0;
    for (const part of parts) {
      if (context.lastPosition(sequence) !== part.start - 1 || !isIntact(part)) break;
      // Replaces what the part before left in scratch: emptying it in between would cost another walk over all cells.
      const numBytes = context.writeState(scratch, 0, part.address, part.byteLength);
      // Nothing but the exact length is success, and llama.cpp does not look at positions.
      const isWhole =
        numBytes === part.byteLength &&
        context.firstPosition(scratch) === part.start &&
        context.lastPosition(scratch) === part.end - 1;
      if (!isWhole) break;
      context.copyRange(scratch, sequence, -1, -1);
      numRestored++;
    }
    context.removeRange(scratch, -1, -1);
    return numRestored;
  }

  /** Until the state is in, llama.cpp knows no position of such a sequence: where it ends is kept here. */
  #restoreOne(sequence: number, part: EngineKvPart): boolean {
    const context = this.#context;
    const scratch = context.scratchSequence;
    if (part.start === 0) {
      if (!this.#isEmpty(sequence)) return false;
    } else if (this.#restoredTo.get(sequence) !== part.start) return false;
    if (!isIntact(part) || !isOf(bytesOf(part), part)) return false;
    const numBytes = context.writeState(scratch, 0, part.address, part.byteLength);
    if (numBytes !== part.byteLength) return false;
    context.copyRange(scratch, sequence, -1, -1);
    context.removeRange(scratch, -1, -1);
    this.#restoredTo.set(sequence, part.end);
    return true;
  }

  #restoreState(sequence: number, part: EngineKvPart): boolean {
    const { kind } = this.#layout;
    const hasChunks = kind === "window" || kind === "hybrid";
    const isNext = hasChunks
      ? this.#restoredTo.get(sequence) === part.end
      : this.#isEmpty(sequence);
    this.#restoredTo.delete(sequence);
    return (
      isNext &&
      isIntact(part) &&
      this.#writeState(sequence, part.address, part.byteLength) &&
      this.#standsAt(sequence, part.end)
    );
  }

  #writeState(
    sequence: number,
    from: bigint | Buffer,
    byteLength = this.#emptyState.length,
  ): boolean {
    const numBytes = this.#context.writeState(sequence, this.#stateFlags, from, byteLength);
    return numBytes === byteLength;
  }

  get #stateFlags(): number {
    return this.#layout.kind === "blob" ? 0 : STATE_PARTIAL_ONLY;
  }

  #isEmpty(sequence: number): boolean {
    const context = this.#context;
    return (
      context.lastPosition(sequence) === -1 && context.stateBytes(sequence, 0) === this.#emptyBytes
    );
  }

  /** Whether a sequence ends here with all that is needed to go on: half a window looks like a whole one. */
  #standsAt(sequence: number, end: number): boolean {
    const context = this.#context;
    if (context.lastPosition(sequence) !== end - 1) return false;
    const { kind, windowTokens } = this.#layout;
    const first = context.firstPosition(sequence);
    if (kind === "window") return first <= Math.max(0, end - windowTokens + 1);
    return kind === "blob" || first === end - 1;
  }
}

function bytesOf({ address, byteLength }: EngineKvPart): Uint8Array {
  return new Uint8Array(koffi.view(address, byteLength));
}

/** Whether these are the bytes of as many tokens as asked for, and of one in its range. */
function isOf(bytes: Uint8Array, { start, end }: EngineKvPart): boolean {
  if (bytes.byteLength < POSITION_AT + Int32Array.BYTES_PER_ELEMENT) return false;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const position = view.getInt32(POSITION_AT, true);
  return view.getUint32(NUM_CELLS_AT, true) === end - start && position >= start && position < end;
}

function isIntact(part: EngineKvPart): boolean {
  return part.crc32 === undefined || crc32(bytesOf(part)) === part.crc32;
}
