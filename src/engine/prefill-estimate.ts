import { WIDE_TOKENS } from "./scheduler.ts";

/** Weight of the newest step: an estimate that follows the machine within some ten steps. */
const NEWEST_WEIGHT = 0.2;

/** How long this engine takes to compute prompt tokens, learned while it runs. */
export class PrefillEstimate {
  #tokenMs: number | undefined;

  /** A step was made. Narrow ones are not prefill: they cost what a step costs at all. */
  observe(numTokens: number, durationMs: number): void {
    if (numTokens < WIDE_TOKENS) return;
    const tokenMs = durationMs / numTokens;
    this.#tokenMs =
      this.#tokenMs === undefined
        ? tokenMs
        : this.#tokenMs + NEWEST_WEIGHT * (tokenMs - this.#tokenMs);
  }

  /** Infinity while nothing is known. */
  durationMs(numTokens: number): number {
    return this.#tokenMs === undefined ? Infinity : numTokens * this.#tokenMs;
  }
}
