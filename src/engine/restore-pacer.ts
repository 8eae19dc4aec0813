import type { EngineKvPart } from "../connector/connector.ts";
import type { ModelRunner } from "./model-runner.ts";

/** What loads may add to the time between two tokens of everybody else. */
const MAX_SHARE_OF_STEP = 0.12;
/** Until restores have been timed: a gigabyte per second, slower than any machine we have seen. */
const FIRST_BYTES_PER_MS = 1_000_000;
/** Weight of the newest timing. */
const LEARNING_RATE = 0.3;

/**
 * Lets KV into the engine at a pace that those who generate do not notice: between two steps for a share of
 * a step's time, all at once while there are no steps.
 */
export class RestorePacer {
  readonly #runner: ModelRunner;
  readonly #nowMs: () => number;
  /** Oldest first. */
  readonly #jobs: RestoreJob[] = [];
  #isStepping = false;
  #stepMs = 0;
  #bytesPerMs = FIRST_BYTES_PER_MS;

  constructor(runner: ModelRunner, nowMs: () => number) {
    this.#runner = runner;
    this.#nowMs = nowMs;
  }

  /** See EngineKv. Restores of one slot come in the order of the calls. */
  restore(slot: number, parts: readonly EngineKvPart[]): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#jobs.push({ slot, parts, numSent: 0, numRestored: 0, resolve, reject });
      if (!this.#isStepping) this.#send(Infinity);
    });
  }

  /** Gives up what has not been sent yet: the slot is about to have another owner. */
  cancel(slot: number): void {
    for (const job of this.#jobs.filter((candidate) => candidate.slot === slot)) this.#end(job);
  }

  /** To be called before each step. */
  beforeStep(): void {
    this.#isStepping = true;
    if (this.#jobs.length > 0) this.#send(this.#stepMs * MAX_SHARE_OF_STEP * this.#bytesPerMs);
  }

  afterStep(durationMs: number): void {
    this.#stepMs = durationMs;
  }

  /** To be called when there is nothing to compute. */
  whenIdle(): void {
    this.#isStepping = false;
    this.#send(Infinity);
  }

  #send(maxBytes: number): void {
    let leftBytes = maxBytes;
    const behind = new Set<number>();
    for (const job of this.#jobs) {
      // A slot's restores may not overtake each other.
      if (behind.has(job.slot)) continue;
      const parts: EngineKvPart[] = [];
      while (leftBytes > 0 && job.numSent < job.parts.length) {
        const part = job.parts[job.numSent++]!;
        parts.push(part);
        leftBytes -= part.byteLength;
      }
      if (job.numSent < job.parts.length) behind.add(job.slot);
      if (parts.length > 0) void this.#restore(job, parts);
    }
  }

  async #restore(job: RestoreJob, parts: readonly EngineKvPart[]): Promise<void> {
    const startedMs = this.#nowMs();
    try {
      // What follows a part that could not be restored is not restored either: the engine sees the gap.
      const numIn = await this.#runner.restore(job.slot, parts);
      this.#learn(parts, this.#nowMs() - startedMs);
      job.numRestored += numIn;
      if (numIn < parts.length || job.numRestored === job.parts.length) this.#end(job);
    } catch (error) {
      job.reject(error);
      this.#end(job);
    }
  }

  #end(job: RestoreJob): void {
    const index = this.#jobs.indexOf(job);
    if (index >= 0) this.#jobs.splice(index, 1);
    job.resolve(job.numRestored);
  }

  #learn(parts: readonly EngineKvPart[], durationMs: number): void {
    const numBytes = parts.reduce((sum, part) => sum + part.byteLength, 0);
    if (durationMs <= 0) return;
    this.#bytesPerMs += LEARNING_RATE * (numBytes / durationMs - this.#bytesPerMs);
  }
}

interface RestoreJob {
  readonly slot: number;
  readonly parts: readonly EngineKvPart[];
  /** Leading parts that the runner was given. */
  numSent: number;
  /** Leading parts that are in the engine. */
  numRestored: number;
  resolve(numRestored: number): void;
  reject(error: unknown): void;
}
