import type { ChunkKey } from "../core/index.ts";
import type { TraceRequest } from "./trace.ts";

/** A request as the tiers see it: the keys of its chunks. One block of the trace is one chunk. */
export interface Prompt {
  readonly keys: readonly ChunkKey[];
  readonly numTokens: number;
  readonly chunkTokens: number;
}

export function promptOf(request: TraceRequest, blockTokens: number): Prompt {
  return {
    keys: request.blocks.map(keyOf),
    numTokens: request.numInputTokens,
    chunkTokens: blockTokens,
  };
}

/** The tokens of chunks [from, to) of a prompt, of which the last may be partial. */
export function tokensOf(numTokens: number, chunkTokens: number, from: number, to: number): number {
  return Math.max(0, Math.min(to * chunkTokens, numTokens) - from * chunkTokens);
}

function keyOf(block: number): ChunkKey {
  return block.toString(16).padStart(32, "0") as ChunkKey;
}
