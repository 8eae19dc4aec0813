import type { EngineKv, EngineKvPart } from "../connector/connector.ts";
import type { ModelRunner } from "./model-runner.ts";
import type { RestorePacer } from "./restore-pacer.ts";

/**
 * What the connector may touch of one sequence while it has its slot. Revoked when the slot is taken
 * back: a call that comes later does nothing, so it can never reach the next owner.
 */
export class SlotKv implements EngineKv {
  readonly #runner: ModelRunner;
  readonly #pacer: RestorePacer;
  readonly #slot: number;
  readonly #saving = new Set<Promise<unknown>>();
  #isRevoked = false;
  /** Leading tokens that the slot has held from the start, while nothing was restored behind them. */
  #numHeld: number;

  constructor(runner: ModelRunner, pacer: RestorePacer, slot: number, numHeld: number) {
    this.#runner = runner;
    this.#pacer = pacer;
    this.#slot = slot;
    this.#numHeld = numHeld;
  }

  async extract(parts: readonly EngineKvPart[]): Promise<number[]> {
    return this.#isRevoked ? parts.map(() => 0) : this.#runner.extract(this.#slot, parts);
  }

  async restore(parts: readonly EngineKvPart[]): Promise<number> {
    if (this.#isRevoked) return 0;
    const [first] = parts;
    if (first !== undefined && first.start < this.#numHeld) {
      // Chunks are whole: the first one replaces what the slot held of it.
      this.#runner.trim(this.#slot, first.start);
      this.#numHeld = 0;
    }
    return this.#pacer.restore(this.#slot, parts);
  }

  revoke(): void {
    this.#isRevoked = true;
    this.#pacer.cancel(this.#slot);
  }

  get numSaving(): number {
    return this.#saving.size;
  }

  /** Remembers a save until it is done. */
  track(save: Promise<unknown>): void {
    this.#saving.add(save);
    void save.finally(() => this.#saving.delete(save));
  }

  async settled(): Promise<void> {
    while (this.#saving.size > 0) await Promise.allSettled(this.#saving);
  }
}
