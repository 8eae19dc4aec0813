import type { Clock } from "../../core/index.ts";
import type { MooncakeReplica } from "../../protocol/index.ts";

/**
 * How far a put got that was cut short. The master keeps its name taken for a while, and its memory longer: so the
 * next put of the name goes on from there.
 */
export type PutStage =
  /** Room was asked for, and perhaps given: nobody knows where. */
  | { readonly kind: "asked" }
  /** Bytes may be on their way to this memory, so it must become no other value's. */
  | { readonly kind: "writing"; readonly replicas: readonly MooncakeReplica[] }
  /** Written; the end was told, and perhaps heard. Then the memory may be another value's by now. */
  | { readonly kind: "written" };

/** Below the 30 s after which the master gives an unfinished name to whoever asks. */
const MAX_AGE_MS = 20_000;
const MAX_PUTS = 4096;

export class UnfinishedPuts {
  readonly #clock: Clock;
  /** Oldest first. */
  readonly #puts = new Map<string, { readonly stage: PutStage; readonly sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What is known of the name, which is forgotten by that. */
  take(name: string): PutStage | undefined {
    const put = this.#puts.get(name);
    this.#puts.delete(name);
    return put && this.#isFresh(put.sinceMs) ? put.stage : undefined;
  }

  add(name: string, stage: PutStage, sinceMs: number): void {
    this.#puts.delete(name);
    this.#puts.set(name, { stage, sinceMs });
    for (const [oldest, put] of this.#puts) {
      if (this.#puts.size <= MAX_PUTS && this.#isFresh(put.sinceMs)) break;
      this.#puts.delete(oldest);
    }
  }

  #isFresh(sinceMs: number): boolean {
    return this.#clock.nowMs() - sinceMs < MAX_AGE_MS;
  }
}
