/** Time, injected so that tests advance it and never sleep. */
export interface Clock {
  /** Monotonic milliseconds, fractional. For durations. */
  nowMs(): number;
  /** Milliseconds since 1970. For timestamps. */
  wallMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
};
