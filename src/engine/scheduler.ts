import { QueueFullError } from "./engine.ts";
import { MAX_SCORED_TOKENS } from "./model-runner.ts";
import type { Sequence } from "./sequence.ts";

export interface SchedulerOptions {
  /** Sequences that may be in the engine at once. */
  readonly numSlots: number;
  /** KV cells they share. */
  readonly numCells: number;
  /** Most tokens of one step; at least twice WIDE_TOKENS. */
  readonly maxStepTokens: number;
  /** Most sequences that wait. */
  readonly maxWaiting: number;
  /** Prompts come in by small pieces while others decode. Default true; otherwise prompts come first. */
  readonly yieldsToDecodes?: boolean | undefined;
}

/** What one sequence computes in a step: tokens [start, end). */
export interface ScheduledChunk {
  readonly sequence: Sequence;
  readonly start: number;
  readonly end: number;
  /** Whether the sequence's last token is among them: the next one is to be picked. */
  readonly isComplete: boolean;
}

/**
 * llama.cpp computes attention in one of two ways, by the rows of a batch: below this in a way made for
 * single tokens, from it on in tiles. The two differ by rounding, which is enough to change an answer. So each
 * step is all *narrow* (single tokens, and prompts that are shorter than this) or all *wide* (pieces of
 * at least this many tokens), and which of the two a token belongs to depends on its own prompt alone:
 * not on what runs beside it, and not on how much of the prompt was stored. Many narrow rows are also
 * far slower than one wide piece.
 */
export const WIDE_TOKENS = 64;

/**
 * On a CPU a step of 512 prompt tokens takes a second, in which no other stream gets a token. Beside
 * decodes prompts therefore advance in smaller pieces.
 */
const WIDE_TOKENS_BESIDE_DECODES: number = 2 * WIDE_TOKENS;

/**
 * Steps that the model's thread may be ahead of everybody else: enough to hide a thread's wake-up, and not so
 * many that a reader who is late has much to catch up with.
 */
const MAX_STEPS_AHEAD = 16;

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
  #isWideTurn = false;
  #module: number | undefined;
  #narrowStart = 0;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.numSlots });
  }

  get numWaiting(): number {
    return this.#waiting.length;
  }
  get waiting(): readonly Sequence[] {
    return this.#waiting;
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

  /**
   * Gives slots to those who wait, while slots and cells last. They come back in state "loading".
   *
   * @param choose which of the free slots
   */
  admit(
    choose: (sequence: Sequence, freeSlots: readonly number[]) => number = (_, [first]) => first!,
  ): Sequence[] {
    const admitted: Sequence[] = [];
    for (;;) {
      const next = this.#waiting[0];
      const free = this.#freeSlots();
      if (next === undefined || free.length === 0) return admitted;
      const growth = GROWTH_CELLS * (this.#options.numSlots - free.length);
      const isAlone = this.numUsedCells === 0;
      if (!isAlone && this.numUsedCells + next.numTokens + growth > this.#options.numCells)
        return admitted;
      this.#waiting.shift();
      const slot = choose(next, free);
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

  /**
   * The next step. Narrow and wide steps take turns when there is work for both; so do LoRA modules, of which
   * a step has one at most.
   *
   *     prompt  [ wide | wide | wide    | 1 ]  then one token a step: all of them narrow
   */
  schedule(): ScheduledChunk[] {
    this.#isWideTurn = !this.#isWideTurn || this.#options.yieldsToDecodes === false;
    const running = this.#ofOneModule(this.active.filter(({ state }) => state === "running"));
    const hasNarrow = running.some(isNarrow);
    if (hasNarrow && !this.#isWideTurn) return this.#narrowStep(running);
    const wide = this.#wideStep(running, hasNarrow);
    return wide.length > 0 ? wide : this.#narrowStep(running);
  }

  /**
   * How many steps may follow each other, beginning with this one, before there is something to schedule:
   * every sequence decodes, none has got its first token in this step, none ends, and the cells last.
   */
  numStepsAhead(chunks: readonly ScheduledChunk[]): number {
    if (chunks.length < this.active.length) return 1;
    const freeCells = this.#options.numCells - this.numUsedCells;
    let numSteps = Math.min(MAX_STEPS_AHEAD, 1 + Math.floor(freeCells / chunks.length));
    for (const { sequence, start } of chunks) {
      if (start < sequence.numPromptTokens) return 1;
      const { numGenerated, numLeft } = sequence;
      const { minTokens } = sequence.sampling;
      numSteps = Math.min(numSteps, numLeft);
      // An end may be picked from then on.
      if (numGenerated < minTokens) numSteps = Math.min(numSteps, minTokens - numGenerated);
    }
    return Math.max(1, numSteps);
  }

  /** A module's turn is over when it has had a wide step and a narrow one. */
  #ofOneModule(running: readonly Sequence[]): readonly Sequence[] {
    const modules = [...new Set(running.map(({ module }) => module))];
    if (modules.length < 2) return running;
    const last = modules.indexOf(this.#module);
    if (this.#isWideTurn || last < 0) this.#module = modules[(last + 1) % modules.length];
    return running.filter(({ module }) => module === this.#module);
  }

  /** A token for each that has one left, and prompts that are short as a whole. */
  #narrowStep(running: readonly Sequence[]): ScheduledChunk[] {
    const candidates = running.filter(isNarrow);
    const chunks: ScheduledChunk[] = [];
    let budget = WIDE_TOKENS - 1;
    // With more sequences than a narrow step holds, each turn begins behind the last one's end.
    for (let i = 0; i < candidates.length && budget > 0; i++) {
      const sequence = candidates[(this.#narrowStart + i) % candidates.length]!;
      const numTokens = sequence.numToCompute === 1 ? 1 : sequence.numToCompute - 1;
      if (numTokens > budget) continue;
      budget -= numTokens;
      chunks.push(chunkOf(sequence, numTokens));
    }
    this.#narrowStart += chunks.length;
    return chunks;
  }

  /** Prompts in their turn, each but for its last token, in pieces that leave no narrow rest. */
  #wideStep(running: readonly Sequence[], isBesideDecodes: boolean): ScheduledChunk[] {
    const chunks: ScheduledChunk[] = [];
    const isSmall = isBesideDecodes && this.#options.yieldsToDecodes !== false;
    let budget = isSmall
      ? Math.min(WIDE_TOKENS_BESIDE_DECODES, this.#options.maxStepTokens)
      : this.#options.maxStepTokens;
    let hasScored = false;
    for (const sequence of running) {
      if (isNarrow(sequence) || (hasScored && isScored(sequence))) continue;
      const left = nextStop(sequence) - sequence.numComputed;
      const room = isScored(sequence) ? Math.min(budget, MAX_SCORED_TOKENS) : budget;
      let numTokens = Math.min(left, room);
      if (left > numTokens && left - numTokens < WIDE_TOKENS) numTokens = left - WIDE_TOKENS;
      if (numTokens < WIDE_TOKENS) continue;
      budget -= numTokens;
      hasScored ||= isScored(sequence);
      chunks.push(chunkOf(sequence, numTokens));
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

  #freeSlots(): number[] {
    return [...this.#slots.keys()].filter((slot) => this.#slots[slot] === undefined);
  }
}

/** Whether its prompt is still to be scored: all of it has to be computed, and in small pieces. */
export function isScored({ sampling, numGenerated }: Sequence): boolean {
  return sampling.numPromptLogprobs !== undefined && numGenerated === 0;
}

function isNarrow(sequence: Sequence): boolean {
  return sequence.numToCompute === 1 || !isWidePrompt(sequence);
}

/** Whether the prompt, but for its last token, fills a wide piece. */
function isWidePrompt(sequence: Sequence): boolean {
  return sequence.numTokens > WIDE_TOKENS;
}

/** Where the next pieces must end: before its last token, or earlier where pieces on both sides are wide. */
function nextStop({ stops, numComputed, numTokens }: Sequence): number {
  const last = numTokens - 1;
  const isWideBothSides = (stop: number): boolean =>
    stop - numComputed >= WIDE_TOKENS && last - stop >= WIDE_TOKENS;
  return stops.find(isWideBothSides) ?? last;
}

/**
 * Where computing goes on when the KV of the tokens [0, end) was loaded: the last token is always computed,
 * and a rest that is not wide enough is widened at the cost of what was loaded.
 */
export function resumeAt(sequence: Sequence, end: number): number {
  const last = sequence.numTokens - 1;
  if (end >= last) return last;
  return isWidePrompt(sequence) ? Math.min(end, last - WIDE_TOKENS) : end;
}

function chunkOf(sequence: Sequence, numTokens: number): ScheduledChunk {
  const end = sequence.numComputed + numTokens;
  return { sequence, start: sequence.numComputed, end, isComplete: end === sequence.numTokens };
}

/** The token that this chunk's step picks. */
export function followingChunk({ sequence, end }: ScheduledChunk): ScheduledChunk {
  return { sequence, start: end, end: end + 1, isComplete: true };
}

function byTurn(a: Sequence, b: Sequence): number {
  return a.priority - b.priority || a.arrivalMs - b.arrivalMs;
}
