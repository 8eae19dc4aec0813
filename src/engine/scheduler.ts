import { QueueFullError } from "./engine.ts";
import type { Sequence } from "./sequence.ts";

export interface SchedulerOptions {
  /** Sequences that may be in the engine at once. */
  readonly numSlots: number;
  /** KV cells they share. */
  readonly numCells: number;
  /** Most tokens of one step. */
  readonly maxStepTokens: number;
  /** Most sequences that wait. */
  readonly maxWaiting: number;
}

/** What one sequence computes in a step: tokens [start, end). */
export interface ScheduledChunk {
  readonly sequence: Sequence;
  readonly start: number;
  readonly end: number;
}

/**
 * On a CPU a step of 512 prompt tokens takes a second, in which no other stream gets a token. Beside
 * decodes prompts therefore advance in smaller pieces.
 */
const PREFILL_TOKENS_BESIDE_DECODES = 128;

/** Cells left free at admission for each running sequence, so that newcomers are not preempted at once. */
const GROWTH_CELLS = 32;

/**
 * Who computes what in the next step. Synchronous, touches no I/O. A sequence in a slot is charged a
 * cell for each token it has, computed or not.
 */
export class Scheduler {
  readonly #options: SchedulerOptions;
  /** By priority, then by arrival. */
  readonly #waiting: Sequence[] = [];
  readonly #slots: (Sequence | undefined)[];

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.numSlots });
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }
  /** In slots, oldest first. */
  get active(): Sequence[] {
    return this.#slots.filter((sequence) => sequence !== undefined).sort(byTurn);
  }
  get numUsedCells(): number {
    return this.#slots.reduce((sum, sequence) => sum + (sequence?.numTokens ?? 0), 0);
  }

  /** @throws QueueFullError */
  add(sequence: Sequence): void {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      throw new QueueFullError(
        `Cannot take another request: ${this.#waiting.length} are waiting, which is the limit`,
      );
    }
    this.#enqueue(sequence);
  }

  /** Gives slots to those who wait, while slots and cells last. They come back in state "loading". */
  admit(): Sequence[] {
    const admitted: Sequence[] = [];
    for (;;) {
      const next = this.#waiting[0];
      const slot = this.#slots.indexOf(undefined);
      if (next === undefined || slot < 0) return admitted;
      const growth = GROWTH_CELLS * (this.#options.numSlots - this.#numFreeSlots());
      const isAlone = this.numUsedCells === 0;
      if (!isAlone && this.numUsedCells + next.numTokens + growth > this.#options.numCells)
        return admitted;
      this.#waiting.shift();
      next.slot = slot;
      next.state = "loading";
      this.#slots[slot] = next;
      admitted.push(next);
    }
  }

  /**
   * Takes back slots when the tokens no longer fit in the cells: the last that came goes first. The
   * victims wait again; whoever calls frees their cells.
   */
  preempt(): { readonly sequence: Sequence; readonly slot: number }[] {
    const victims: { sequence: Sequence; slot: number }[] = [];
    const active = this.active;
    while (this.numUsedCells > this.#options.numCells && active.length > 1) {
      const sequence = active.pop()!;
      if (sequence.state !== "running") continue;
      const slot = sequence.slot!;
      this.release(sequence);
      sequence.state = "waiting";
      sequence.numComputed = 0;
      this.#enqueue(sequence);
      victims.push({ sequence, slot });
    }
    return victims;
  }

  /** The next step: a token for each that decodes, then prompts in their turn, within the budget. */
  schedule(): ScheduledChunk[] {
    const running = this.active.filter((sequence) => sequence.state === "running");
    const decodes = running.filter((sequence) => sequence.isDecoding);
    const prefills = running.filter((sequence) => !sequence.isDecoding);
    const chunks = decodes.map((sequence) => chunkOf(sequence, 1));
    let budget = this.#options.maxStepTokens - decodes.length;
    if (decodes.length > 0) budget = Math.min(budget, PREFILL_TOKENS_BESIDE_DECODES);
    for (const sequence of prefills) {
      if (budget <= 0) break;
      const chunk = chunkOf(sequence, Math.min(budget, sequence.numToCompute));
      budget -= chunk.end - chunk.start;
      chunks.push(chunk);
    }
    return chunks;
  }

  /** Takes a sequence out, wherever it is. */
  release(sequence: Sequence): void {
    const place = this.#waiting.indexOf(sequence);
    if (place >= 0) this.#waiting.splice(place, 1);
    if (sequence.slot !== undefined) this.#slots[sequence.slot] = undefined;
    sequence.slot = undefined;
  }

  #enqueue(sequence: Sequence): void {
    let place = this.#waiting.length;
    while (place > 0 && byTurn(sequence, this.#waiting[place - 1]!) < 0) place--;
    this.#waiting.splice(place, 0, sequence);
  }

  #numFreeSlots(): number {
    return this.#slots.filter((sequence) => sequence === undefined).length;
  }
}

function chunkOf(sequence: Sequence, numTokens: number): ScheduledChunk {
  return { sequence, start: sequence.numComputed, end: sequence.numComputed + numTokens };
}

function byTurn(a: Sequence, b: Sequence): number {
  return a.priority - b.priority || a.arrivalMs - b.arrivalMs;
}
