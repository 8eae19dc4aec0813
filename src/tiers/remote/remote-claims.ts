import type { ChunkKey, Logger } from "../../core/index.ts";
import type { RemoteStore } from "../../remotes/index.ts";
import type { ChunkClaims } from "../tier.ts";
import type { ChunkPutter } from "./chunk-putter.ts";
import { Deadline } from "./deadline.ts";
import type { RemoteHealth } from "./remote-health.ts";

/** A request waits for it, as for a lookup. */
const CLAIM_TIMEOUT_MS = 2_000;

export interface RemoteClaimsOptions {
  readonly store: RemoteStore;
  readonly nameOf: (key: ChunkKey) => string;
  readonly health: RemoteHealth;
  readonly putter: ChunkPutter;
  readonly logger: Logger;
}

/** Claims that lie in the store, beside the values. */
export class RemoteClaims implements ChunkClaims {
  readonly #options: RemoteClaimsOptions;
  #isTold = false;

  /** @returns undefined for a store that cannot */
  static of(options: RemoteClaimsOptions): RemoteClaims | undefined {
    return options.store.claim === undefined ? undefined : new RemoteClaims(options);
  }

  private constructor(options: RemoteClaimsOptions) {
    this.#options = options;
  }

  async claim(
    keys: readonly ChunkKey[],
    owner: string,
    ttlMs: number,
  ): Promise<number | undefined> {
    const { store, health, logger } = this.#options;
    if (health.isDown) return undefined;
    using deadline = new Deadline(store.address, CLAIM_TIMEOUT_MS);
    try {
      const call = { signal: deadline.signal, priority: "lookup" } as const;
      const numOwn = await store.claim!(this.#namesOf(keys), { owner, ttlMs }, call);
      if (numOwn === undefined && !this.#isTold) {
        this.#isTold = true;
        logger.warn(`${store.address} knows no claims: equal prompts may be computed twice`);
      }
      return numOwn;
    } catch (error) {
      health.report(deadline.explain(error));
      return undefined;
    }
  }

  settled(keys: readonly ChunkKey[]): Promise<void> {
    return this.#options.putter.settled(keys);
  }

  async release(keys: readonly ChunkKey[], owner: string): Promise<void> {
    const { store, health } = this.#options;
    if (health.isDown) return;
    using deadline = new Deadline(store.address, CLAIM_TIMEOUT_MS);
    try {
      const call = { signal: deadline.signal, priority: "lookup" } as const;
      await store.release!(this.#namesOf(keys), owner, call);
    } catch (error) {
      health.report(deadline.explain(error));
    }
  }

  #namesOf(keys: readonly ChunkKey[]): string[] {
    return keys.map((key) => this.#options.nameOf(key));
  }
}
