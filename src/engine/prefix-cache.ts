import type { Sequence } from "./sequence.ts";
import { WIDE_TOKENS } from "./scheduler.ts";

export interface PrefixCacheOptions {
  /** Keep generated tokens too, for the next turn of a conversation. */
  readonly keepsGenerated: boolean;
  /** See ModelRunner. */
  readonly copy: (from: number, to: number, numTokens: number) => void;
  readonly trim: (slot: number, start: number) => void;
}

/**
 * Prompts whose KV is still in the engine's cells. A slot that is given back keeps its KV until somebody needs the
 * slot or its cells; whoever begins with the same tokens shares them, which copies nothing.
 *
 * Kept is what a later prompt would have computed in the same way, so that answers do not depend on who came
 * before: not the last token of a prompt, which is computed alone, and nothing of prompts that are as short
 * as a narrow step (see WIDE_TOKENS).
 */
export class PrefixCache {
  readonly #options: PrefixCacheOptions;
  /** Of slots that are free, least recently used first. */
  readonly #residents = new Map<number, Prefix>();

  constructor(options: PrefixCacheOptions) {
    this.#options = options;
  }

  /** Cells of the residents; those they share with others are counted each time. */
  get numCells(): number {
    let numCells = 0;
    for (const { tokens } of this.#residents.values()) numCells += tokens.length;
    return numCells;
  }

  /** To be called when a sequence leaves its slot, and nothing of it is being computed any more. */
  keep(slot: number, sequence: Sequence): void {
    const numTokens = this.#numSharable(sequence);
    this.#options.trim(slot, numTokens);
    if (numTokens === 0) return;
    this.#residents.set(slot, {
      tokens: sequence.tokens.slice(0, numTokens),
      scope: scopeKey(sequence),
    });
  }

  /**
   * The free slot that a newcomer loses least in: the one with its own prefix, if that is most of what lies
   * there; otherwise one that is empty, or was used longest ago.
   */
  choose(sequence: Sequence, freeSlots: readonly number[]): number {
    const own = this.#best(sequence, []);
    if (own !== undefined && freeSlots.includes(own.slot)) {
      const { tokens } = this.#residents.get(own.slot)!;
      if (own.numTokens >= tokens.length / 2) return own.slot;
    }
    const empty = freeSlots.find((slot) => !this.#residents.has(slot));
    if (empty !== undefined) return empty;
    const [oldest, second] = [...this.#residents.keys()].filter((slot) => freeSlots.includes(slot));
    return oldest === own?.slot && second !== undefined ? second : oldest!;
  }

  /**
   * Makes a slot ready for its new owner.
   *
   * @param active sequences in slots, which may share what they have computed
   * @returns how many of its leading tokens are there
   */
  take(sequence: Sequence, active: readonly Sequence[]): number {
    const slot = sequence.slot!;
    const best = this.#best(sequence, active);
    this.#residents.delete(slot);
    if (best?.slot === slot) {
      this.#options.trim(slot, best.numTokens);
      return best.numTokens;
    }
    this.#options.trim(slot, 0);
    if (best === undefined) return 0;
    this.#options.copy(best.slot, slot, best.numTokens);
    this.#touch(best.slot);
    return best.numTokens;
  }

  /** Gives up residents until the others fit into so many cells. */
  shrink(maxCells: number): void {
    for (const slot of this.#residents.keys()) {
      if (this.numCells <= maxCells) return;
      this.#drop(slot);
    }
  }

  clear(): void {
    for (const slot of this.#residents.keys()) this.#drop(slot);
  }

  #drop(slot: number): void {
    this.#residents.delete(slot);
    this.#options.trim(slot, 0);
  }

  #touch(slot: number): void {
    const prefix = this.#residents.get(slot);
    if (prefix === undefined) return;
    this.#residents.delete(slot);
    this.#residents.set(slot, prefix);
  }

  /** Where the longest common beginning lies; undefined when there is none of use. */
  #best(
    sequence: Sequence,
    active: readonly Sequence[],
  ): { readonly slot: number; readonly numTokens: number } | undefined {
    const scope = scopeKey(sequence);
    const wanted = sequence.tokens.subarray(0, -1);
    let best: { slot: number; numTokens: number } | undefined;
    const consider = (slot: number, tokens: Int32Array): void => {
      const numTokens = numEqual(wanted, tokens);
      if (numTokens >= WIDE_TOKENS && numTokens > (best?.numTokens ?? 0))
        best = { slot, numTokens };
    };
    for (const [slot, prefix] of this.#residents) {
      if (prefix.scope === scope) consider(slot, prefix.tokens);
    }
    for (const other of active) {
      if (other === sequence || scopeKey(other) !== scope) continue;
      consider(other.slot!, other.tokens.subarray(0, this.#numSharable(other)));
    }
    return best;
  }

  #numSharable(sequence: Sequence): number {
    const { numComputed, numPromptTokens } = sequence;
    const limit = this.#options.keepsGenerated ? numComputed : numPromptTokens - 1;
    const numTokens = Math.min(numComputed, limit);
    return numPromptTokens > WIDE_TOKENS && numTokens >= WIDE_TOKENS ? numTokens : 0;
  }
}

interface Prefix {
  readonly tokens: Int32Array;
  readonly scope: string;
}

/** What keeps tenants apart in the stored cache keeps them apart here. */
function scopeKey({ cacheSalt, kvTransferParams }: Sequence): string {
  return JSON.stringify([cacheSalt, kvTransferParams]);
}

function numEqual(a: Int32Array, b: Int32Array): number {
  const length = Math.min(a.length, b.length);
  let index = 0;
  while (index < length && a[index] === b[index]) index++;
  return index;
}
