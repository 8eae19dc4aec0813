import type { ChunkKey, ChunkSpan } from "../core/index.ts";

/** Prompts whose ends are remembered. */
const MAX_PARENTS = 4096;
/** Ends behind one and the same chunk: turns of one conversation, or short prompts. */
const MAX_ENDS = 8;
/** Stands for the parent of a prompt's first chunk. */
const START = "";

/**
 * Where the prompts ended that were stored with a partial chunk. The next turn of a conversation goes on
 * behind it, but has a whole chunk in its place, under another key: without a hint nobody would look for the partial
 * one, and a chunk's worth of tokens would be computed again in each turn.
 */
export class Tails {
  /** Ends behind each parent, both least recently used first. */
  readonly #ends = new Map<ChunkKey | typeof START, Set<number>>();

  /** To be called with the last chunk of what was stored. */
  remember({ parent, end }: Pick<ChunkSpan, "parent" | "end">): void {
    const key = parent ?? START;
    const ends = this.#ends.get(key) ?? new Set();
    this.#ends.delete(key);
    this.#ends.set(key, ends);
    ends.delete(end);
    ends.add(end);
    trim(ends, MAX_ENDS);
    trim(this.#ends, MAX_PARENTS);
  }

  /** Ends behind a chunk, the farthest first. */
  behind(parent: ChunkKey | undefined): number[] {
    return [...(this.#ends.get(parent ?? START) ?? [])].toSorted((a, b) => b - a);
  }
}

function trim(kept: Set<unknown> | Map<unknown, unknown>, maxSize: number): void {
  for (const oldest of kept.keys()) {
    if (kept.size <= maxSize) return;
    kept.delete(oldest);
  }
}
