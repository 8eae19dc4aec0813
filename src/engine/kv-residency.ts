import type { KvConnector } from "../connector/connector.ts";
import type { ModelRunner } from "./model-runner.ts";
import type { PrefixCache } from "./prefix-cache.ts";
import type { RestorePacer } from "./restore-pacer.ts";
import { isScored, resumeAt } from "./scheduler.ts";
import type { Sequence } from "./sequence.ts";
import { SlotKv } from "./slot-kv.ts";

export interface KvResidencyOptions {
  readonly runner: ModelRunner;
  readonly connector: KvConnector;
  readonly pacer: RestorePacer;
  /** Undefined: a slot that is given back is emptied. */
  readonly prefixes: PrefixCache | undefined;
}

/** The KV of the sequences that have a slot: how it comes in, is saved, and leaves. */
export class KvResidency {
  readonly #options: KvResidencyOptions;
  readonly #slots = new Map<Sequence, SlotKv>();

  constructor(options: KvResidencyOptions) {
    this.#options = options;
  }

  /**
   * Brings in what is stored of a sequence that has just got its slot. Until `ready` resolves, nobody may count
   * on what the slot holds.
   *
   * @param numHeld leading tokens that the slot holds already
   * @param ready what else has to be there before the sequence may run
   * @returns false when the sequence has lost its slot meanwhile
   */
  async bringIn(
    sequence: Sequence,
    numHeld: number,
    ready: Promise<void>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { runner, pacer } = this.#options;
    sequence.numComputed = 0;
    const slot = sequence.slot!;
    const kv = new SlotKv(runner, pacer, slot, numHeld);
    this.#slots.set(sequence, kv);
    const [end] = await Promise.all([this.#load(sequence, numHeld, kv, signal), ready]);
    if (sequence.slot !== slot) return false;
    sequence.numComputed = resumeAt(sequence, end);
    // A load may leave more than it answers, or parts of one that came to nothing.
    runner.trim(slot, sequence.numComputed);
    if (sequence.numGenerated === 0) sequence.numCached = sequence.numComputed;
    return true;
  }

  /** @returns the end of the prefix that is in the engine now */
  async #load(
    sequence: Sequence,
    numHeld: number,
    kv: SlotKv,
    signal: AbortSignal,
  ): Promise<number> {
    const { connector } = this.#options;
    using match = await connector.lookup(sequence, numHeld, signal);
    // The match must be held until the load is over.
    const end = isScored(sequence)
      ? 0
      : match.numTokens <= numHeld
        ? numHeld
        : await connector.load(match, numHeld, kv, signal);
    sequence.stops = match.stops ?? [];
    return end;
  }

  /** Starts to take what was computed out of the engine; the loop does not wait for it. */
  save(sequence: Sequence, isFinal: boolean): void {
    const kv = this.#slots.get(sequence);
    if (kv === undefined) return;
    kv.track(this.#options.connector.save(sequence, sequence.numComputed, isFinal, kv));
  }

  /** Resolves when all that was to be saved of a sequence is out; undefined when it is. */
  saved(sequence: Sequence): Promise<void> | undefined {
    const kv = this.#slots.get(sequence);
    return kv !== undefined && kv.numSaving > 0 ? kv.settled() : undefined;
  }

  /** Takes a slot back and forgets what it holds. */
  drop(sequence: Sequence, slot: number): void {
    this.#revoke(sequence);
    this.#options.runner.trim(slot, 0);
  }

  /** As drop(), but what it holds may serve the next one: it is what its tokens were computed to. */
  keep(sequence: Sequence, slot: number): void {
    const { prefixes } = this.#options;
    if (prefixes === undefined) {
      this.drop(sequence, slot);
      return;
    }
    this.#revoke(sequence);
    prefixes.keep(slot, sequence);
  }

  #revoke(sequence: Sequence): void {
    this.#slots.get(sequence)?.revoke();
    this.#slots.delete(sequence);
  }
}
