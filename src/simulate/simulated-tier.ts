import type { ChunkKey } from "../core/index.ts";
import type { EvictionPolicy } from "../tiers/policies/index.ts";
import { type Prompt, tokensOf } from "./prompt.ts";

/** What one tier did so far. */
export interface TierCounts {
  numHits: number;
  numReadTokens: number;
  numStored: number;
  numWrittenTokens: number;
  numEvicted: number;
  numRefused: number;
}

/**
 * A tier that holds keys only and has room for a number of them. It treats its policy as real tiers
 * do.
 */
export class SimulatedTier {
  readonly name: string;
  readonly capacity: number;
  readonly counts: TierCounts = {
    numHits: 0,
    numReadTokens: 0,
    numStored: 0,
    numWrittenTokens: 0,
    numEvicted: 0,
    numRefused: 0,
  };
  readonly #policy: EvictionPolicy;
  readonly #resident = new Set<ChunkKey>();

  constructor(name: string, capacity: number, policy: EvictionPolicy) {
    this.name = name;
    this.capacity = capacity;
    this.#policy = policy;
  }

  get size(): number {
    return this.#resident.size;
  }

  /**
   * Serves the chunks of a prompt from index `from` on.
   *
   * @returns the index of the first one that is missing
   */
  serve(prompt: Prompt, from: number): number {
    const { keys } = prompt;
    let end = from;
    while (end < keys.length && this.#resident.has(keys[end]!)) end++;
    // The missing ones too: a policy that counts requests learns of them, the others ignore them.
    this.#policy.touch(from === 0 ? keys : keys.slice(from));
    this.counts.numHits += end - from;
    this.counts.numReadTokens += tokensOf(prompt.numTokens, prompt.chunkTokens, from, end);
    return end;
  }

  /**
   * Stores the chunks [from, to) of a prompt, up to the first that is refused. What is resident
   * stays as it is; no chunk of the prompt makes room for another.
   */
  store(prompt: Prompt, from: number, to: number): void {
    const { keys } = prompt;
    let own: Set<ChunkKey> | undefined;
    for (let index = from; index < to; index++) {
      const key = keys[index]!;
      if (this.#resident.has(key)) continue;
      const parent = keys[index - 1];
      if (this.#resident.size >= this.capacity) {
        own ??= new Set(keys);
        if (!this.#makeRoom(key, parent, own)) {
          this.counts.numRefused += to - index;
          return;
        }
      }
      this.#resident.add(key);
      this.#policy.add(key, parent);
      this.counts.numStored++;
      this.counts.numWrittenTokens += tokensOf(
        prompt.numTokens,
        prompt.chunkTokens,
        index,
        index + 1,
      );
    }
  }

  #makeRoom(key: ChunkKey, parent: ChunkKey | undefined, held: ReadonlySet<ChunkKey>): boolean {
    if (this.#policy.admits?.(key, parent) === false) return false;
    const victim = this.#policy.victim((each) => held.has(each));
    if (victim === undefined) return false;
    this.#resident.delete(victim);
    this.#policy.remove(victim);
    this.counts.numEvicted++;
    return true;
  }
}
