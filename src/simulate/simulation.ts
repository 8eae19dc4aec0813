import { type Prompt, tokensOf } from "./prompt.ts";
import type { SimulationRow } from "./report.ts";
import type { SimulatedTier } from "./simulated-tier.ts";

/**
 * One cache under a trace. For each prompt, in this order:
 *
 * 1. The tiers serve its leading chunks: each in turn as many of those left as it has, until none
 *    has more. The hit ends at the first chunk that no tier has.
 * 2. Chunks that a lower tier served are stored in the first one.
 * 3. The chunks behind the hit are stored in every tier.
 */
export class Simulation {
  readonly #policy: string;
  readonly #tiers: readonly SimulatedTier[];
  readonly #storesPartial: boolean;
  #numHitChunks = 0;
  #numHitTokens = 0;

  /**
   * @param storesPartial whether a last chunk that is not full is stored, as by `save_unfull_chunk`
   */
  constructor(policy: string, tiers: readonly SimulatedTier[], storesPartial: boolean) {
    this.#policy = policy;
    this.#tiers = tiers;
    this.#storesPartial = storesPartial;
  }

  run(prompt: Prompt): void {
    const numChunks = prompt.keys.length;
    const numWhole = Math.floor(prompt.numTokens / prompt.chunkTokens);
    const first = this.#tiers[0]!;
    let numHit = 0;
    for (let numInVain = 0, turn = 0; numInVain < this.#tiers.length; turn++) {
      const tier = this.#tiers[turn % this.#tiers.length]!;
      const end = tier.serve(prompt, numHit);
      if (tier !== first) first.store(prompt, numHit, end);
      // A tier that has just answered has no more either.
      numInVain = end === numHit ? numInVain + 1 : 1;
      numHit = end;
    }
    const numStored = this.#storesPartial ? numChunks : Math.min(numChunks, numWhole);
    for (const tier of this.#tiers) tier.store(prompt, numHit, numStored);
    this.#numHitChunks += numHit;
    this.#numHitTokens += tokensOf(prompt.numTokens, prompt.chunkTokens, 0, numHit);
  }

  result(): SimulationRow {
    return {
      policy: this.#policy,
      capacities: this.#tiers.map(({ capacity }) => capacity),
      numHitChunks: this.#numHitChunks,
      numHitTokens: this.#numHitTokens,
      tiers: this.#tiers.map(({ name, capacity, counts }) => ({ name, capacity, ...counts })),
    };
  }
}
