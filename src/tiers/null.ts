import { emptyLease } from "./empty-lease.ts";
import type { Lease, Tier, TierStats } from "./tier.ts";

export const noStats: TierStats = {
  numChunks: 0,
  usedBytes: 0,
  capacityBytes: 0,
  numHits: 0,
  numMisses: 0,
  numStored: 0,
  numEvicted: 0,
  numRefused: 0,
  numDamaged: 0,
};

/** A tier that finds and keeps nothing. */
export class NullTier implements Tier {
  readonly name = "NullBackend";

  async lookup(): Promise<number> {
    return 0;
  }
  async acquire(): Promise<Lease> {
    return emptyLease;
  }
  async store(): Promise<number> {
    return 0;
  }
  async remove(): Promise<number> {
    return 0;
  }
  async clear(): Promise<number> {
    return 0;
  }
  async flush(): Promise<void> {}
  stats(): TierStats {
    return noStats;
  }
  async [Symbol.asyncDispose](): Promise<void> {}
}
