import {
  type ChunkKey,
  type Clock,
  type Logger,
  MiB,
  TierError,
  UsageError,
} from "../core/index.ts";
import {
  type Chunk,
  type ChunkClaims,
  type Tier,
  type TierStats,
  emptyLease,
  noStats,
} from "../tiers/index.ts";
import { type LeasedPart, StackLease } from "./stack-lease.ts";
import { TierGuard, type TierStatus } from "./tier-guard.ts";

/** LMCache's: a remote store is tried again 10 s after it failed. */
const DEFAULT_BACK_OFF_MS = 10_000;
/** LMCache's `lookup_timeout_ms`. */
const DEFAULT_TIMEOUT_MS = 3000;
const DEFAULT_MAX_STORING_BYTES = 256 * MiB;

export interface TierStackOptions {
  /** In the order in which they are asked. The stack owns and closes them. */
  readonly tiers: readonly Tier[];
  /** The one of them that takes chunks loaded from the others; undefined: none does. */
  readonly hotTier?: Tier | undefined;
  /** Names of the only tiers that are asked. Default: all. */
  readonly retrieveLocations?: readonly string[] | undefined;
  /** Name of the only tier that is written. Default: all. */
  readonly storeLocation?: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For how long a tier that failed is left alone. */
  readonly backOffMs?: number | undefined;
  /** The longest wait for a tier's answer that brings no bytes. */
  readonly timeoutMs?: number | undefined;
  /** Bytes on their way into each tier, beyond which chunks are dropped. */
  readonly maxStoringBytes?: number | undefined;
}

/**
 * Tiers as one tier. A prompt may lie in several: each is asked for the longest prefix of what is
 * left, until none has more. A tier that fails counts as one that has nothing.
 */
export class TierStack implements Tier {
  readonly name = "TierStack";
  readonly #all: readonly TierGuard[];
  readonly #read: readonly TierGuard[];
  readonly #written: readonly TierGuard[];
  readonly #hot: TierGuard | undefined;
  #isClosed = false;

  /** @throws UsageError when a location is not the name of a tier */
  constructor(options: TierStackOptions) {
    const guardOptions = {
      clock: options.clock,
      logger: options.logger,
      backOffMs: options.backOffMs ?? DEFAULT_BACK_OFF_MS,
      timeoutMs: options.timeoutMs ?? DEFAULT_TIMEOUT_MS,
      maxStoringBytes: options.maxStoringBytes ?? DEFAULT_MAX_STORING_BYTES,
    };
    this.#all = options.tiers.map((tier) => new TierGuard(tier, guardOptions));
    const { retrieveLocations, storeLocation } = options;
    this.#read = retrieveLocations
      ? retrieveLocations.map((name) => this.#named(name, "retrieve_locations"))
      : this.#all;
    this.#written = storeLocation ? [this.#named(storeLocation, "store_location")] : this.#all;
    // Where nobody looks, nothing is promoted to.
    this.#hot = this.#read.find((guard) => guard.tier === options.hotTier);
  }

  /** The tier that takes chunks loaded from the others. */
  get hotTier(): Tier | undefined {
    return this.#hot?.tier;
  }

  /** Those of the tier that has any. One that is not both read and written brings nobody what others compute. */
  get claims(): ChunkClaims | undefined {
    const shared = this.#read.filter((guard) => this.#written.includes(guard));
    return shared.find((guard) => guard.tier.claims !== undefined)?.tier.claims;
  }

  get tierNames(): string[] {
    return this.#all.map((guard) => guard.tier.name);
  }

  /** @throws UsageError when there is none of this name */
  tier(name: string): Tier {
    return this.#named(name, "location").tier;
  }

  lookup(keys: readonly ChunkKey[]): Promise<number> {
    return this.#split(keys, (guard, rest) => guard.ask(0, (tier) => tier.lookup(rest)));
  }

  /** How many leading keys each tier holds by itself. */
  async lookupEach(keys: readonly ChunkKey[]): Promise<Map<string, number>> {
    const counts = await Promise.all(
      this.#read.map(async (guard) => {
        const numFound = await guard.ask(0, (tier) => tier.lookup(keys));
        return [guard.tier.name, numFound] as const;
      }),
    );
    return new Map(counts);
  }

  async acquire(keys: readonly ChunkKey[]): Promise<StackLease> {
    const parts: LeasedPart[] = [];
    const numHeld = await this.#split(keys, async (guard, rest, start) => {
      const lease = await guard.ask(
        emptyLease,
        (tier) => tier.acquire(rest),
        (late) => late[Symbol.dispose](),
      );
      if (lease.keys.length === 0) lease[Symbol.dispose]();
      else parts.push({ guard, lease, start });
      return lease.keys.length;
    });
    return new StackLease(keys.slice(0, numHeld), parts, this.#hot);
  }

  async store(chunks: readonly Chunk[]): Promise<number> {
    this.#assertOpen();
    const counts = await Promise.all(this.#written.map((guard) => guard.store(chunks)));
    return Math.max(0, ...counts);
  }

  /** Drops the chunks from every tier that can be reached. */
  async remove(keys: readonly ChunkKey[]): Promise<number> {
    this.#assertOpen();
    const counts = await Promise.all(
      this.#all.map((guard) => guard.ask(0, (tier) => tier.remove(keys))),
    );
    return Math.max(0, ...counts);
  }

  async clear(): Promise<number> {
    this.#assertOpen();
    const counts = await Promise.all(
      this.#all.map((guard) => guard.insist(0, (tier) => tier.clear())),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async flush(): Promise<void> {
    await Promise.all(this.#all.map((guard) => guard.insist(undefined, (tier) => tier.flush())));
  }

  /** All tiers together; see `statusEach`. */
  stats(): TierStats {
    const sum: Record<keyof TierStats, number> = { ...noStats };
    for (const guard of this.#all) {
      for (const [name, value] of Object.entries(guard.stats())) {
        sum[name as keyof TierStats] += value;
      }
    }
    return sum;
  }

  statusEach(): Map<string, TierStatus> {
    return new Map(this.#all.map((guard) => [guard.tier.name, guard.status()]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all(this.#all.map((guard) => guard.tier[Symbol.asyncDispose]()));
  }

  /**
   * Asks the tiers in turn for the keys that are left.
   *
   * @param ask answers how many leading keys of `rest`, which begins at index `start`, a tier has
   * @returns how many leading keys were found
   */
  async #split(
    keys: readonly ChunkKey[],
    ask: (guard: TierGuard, rest: readonly ChunkKey[], start: number) => Promise<number>,
  ): Promise<number> {
    this.#assertOpen();
    let numFound = 0;
    let numInVain = 0;
    for (let turn = 0; numFound < keys.length && numInVain < this.#read.length; turn++) {
      const guard = this.#read[turn % this.#read.length]!;
      const rest = numFound === 0 ? keys : keys.slice(numFound);
      const count = await ask(guard, rest, numFound);
      numFound += count;
      // The tier that has just answered has no more either.
      numInVain = count === 0 ? numInVain + 1 : 1;
    }
    return numFound;
  }

  #named(name: string, param: string): TierGuard {
    const guard = this.#all.find((candidate) => candidate.tier.name === name);
    if (guard === undefined) {
      throw new UsageError(
        `Cannot use ${param} "${name}": wanted one of the tiers in use: ${this.tierNames.join(", ")}`,
        { param },
      );
    }
    return guard;
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new TierError(this.name, "closed", "The tiers are closed");
  }
}
