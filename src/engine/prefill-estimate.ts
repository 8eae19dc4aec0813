/** Steps with fewer tokens are dominated by what a step costs at all. */
const MIN_STEP_TOKENS = 64;
/** Weight of the newest step: an estimate that follows the machine within some ten steps. */
const NEWEST_WEIGHT = 0.2;

/** How long this engine takes to compute prompt tokens, learned while it runs. */
export class PrefillEstimate {
  #tokenMs: number | undefined;

  /** A step that computed nothing but prompt tokens. */
  observe(numTokens: number, durationMs: number): void {
    if (numTokens < MIN_STEP_TOKENS) return;
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
