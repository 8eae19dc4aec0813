import { crc32 } from "node:zlib";
import type { EngineKvPart } from "../../connector/connector.ts";
import { koffi } from "../../native/index.ts";
import type { LlamaContext } from "./context.ts";

/**
 * Moves KV between sequences and memory of others, chunk by chunk, through the scratch sequence:
 *
 *     extract   sequence --cp [start, end)--> scratch --get_data--> slab     then scratch is emptied
 *     restore   slab --set_data--> scratch --cp--> sequence                  then scratch is emptied
 *
 * The copies between sequences share cells and move no bytes. llama.cpp accepts any blob of the right
 * shape: bytes that nobody has checked come with their checksum.
 */
export class KvTransfer {
  readonly #context: LlamaContext;

  constructor(context: LlamaContext) {
    this.#context = context;
  }

  /** @returns the length of each part in bytes; 0 for one that failed */
  extract(sequence: number, parts: readonly EngineKvPart[]): number[] {
    return parts.map((part) => this.#extractOne(sequence, part));
  }

  #extractOne(sequence: number, part: EngineKvPart): number {
    const context = this.#context;
    if (context.lastPosition(sequence) < part.end - 1) return 0;
    const scratch = context.scratchSequence;
    context.copyRange(sequence, scratch, part.start, part.end);
    try {
      const numBytes = context.stateBytes(scratch, 0);
      if (numBytes > part.byteLength) return 0;
      return context.readState(scratch, 0, part.address, part.byteLength);
    } finally {
      context.removeRange(scratch, -1, -1);
    }
  }

  /**
   * Appends parts to a sequence that ends where the first part starts.
   *
   * @returns how many are in. When it is fewer than asked, the sequence ends behind the last one that is in.
   */
  restore(sequence: number, parts: readonly EngineKvPart[]): number {
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
}

function isIntact({ address, byteLength, crc32: wanted }: EngineKvPart): boolean {
  return wanted === undefined || crc32(new Uint8Array(koffi.view(address, byteLength))) === wanted;
}
