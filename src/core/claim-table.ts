import type { Clock } from "./clock.ts";

interface Claim {
  readonly owner: string;
  readonly endsMs: number;
}

/** Who has said of which name that it is theirs to make, for a time. Bounded: beyond the bound nothing is noted. */
export class ClaimTable {
  readonly #clock: Clock;
  readonly #maxClaims: number;
  /** Those that were made or renewed last come last. */
  readonly #claims = new Map<string, Claim>();

  constructor(clock: Clock, maxClaims: number) {
    this.#clock = clock;
    this.#maxClaims = maxClaims;
  }

  get size(): number {
    return this.#claims.size;
  }

  /** @returns how many leading names are the owner's now, renewed ones included; those behind stay as they are */
  claim(names: readonly string[], owner: string, ttlMs: number): number {
    const nowMs = this.#clock.nowMs();
    const end = names.findIndex((name) => this.#isOthers(name, owner, nowMs));
    const own = end < 0 ? names : names.slice(0, end);
    for (const name of own) {
      this.#claims.delete(name);
      if (this.#claims.size >= this.#maxClaims) this.#dropEnded(nowMs);
      if (this.#claims.size >= this.#maxClaims) break;
      this.#claims.set(name, { owner, endsMs: nowMs + ttlMs });
    }
    return own.length;
  }

  /** @returns how many were the owner's */
  release(names: readonly string[], owner: string): number {
    const own = names.filter((name) => this.#claims.get(name)?.owner === owner);
    for (const name of own) this.#claims.delete(name);
    return own.length;
  }

  #isOthers(name: string, owner: string, nowMs: number): boolean {
    const claim = this.#claims.get(name);
    return claim !== undefined && claim.owner !== owner && claim.endsMs > nowMs;
  }

  #dropEnded(nowMs: number): void {
    for (const [name, { endsMs }] of this.#claims) if (endsMs <= nowMs) this.#claims.delete(name);
  }
}
