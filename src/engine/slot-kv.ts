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

  constructor(runner: ModelRunner, pacer: RestorePacer, slot: number) {
    this.#runner = runner;
    this.#pacer = pacer;
    this.#slot = slot;
  }

  async extract(parts: readonly EngineKvPart[]): Promise<number[]> {
    return this.#isRevoked ? parts.map(() => 0) : this.#runner.extract(this.#slot, parts);
  }

  async restore(parts: readonly EngineKvPart[]): Promise<number> {
    return this.#isRevoked ? 0 : this.#pacer.restore(this.#slot, parts);
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
