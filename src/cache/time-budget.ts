import { type Clock, MAX_TIMER_MS } from "../core/index.ts";

/** A signal that is aborted with another one, or when the time is up. Time stands still while paused. */
export class TimeBudget implements Disposable {
  readonly signal: AbortSignal;
  readonly #timeUp = new AbortController();
  readonly #clock: Clock;
  #leftMs: number;
  #startedMs = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(durationMs: number, signal: AbortSignal, clock: Clock) {
    this.#leftMs = durationMs;
    this.#clock = clock;
    this.signal = AbortSignal.any([signal, this.#timeUp.signal]);
    this.resume();
  }

  pause(): void {
    clearTimeout(this.#timer);
    this.#leftMs -= this.#clock.nowMs() - this.#startedMs;
  }

  resume(): void {
    this.#startedMs = this.#clock.nowMs();
    const timerMs = Math.max(0, Math.min(this.#leftMs, MAX_TIMER_MS));
    this.#timer = setTimeout(() => this.#timeUp.abort(), timerMs).unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
