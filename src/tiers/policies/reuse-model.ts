/**
 * What is known of one chunk. Times count uses of chunks: each chunk that is added or touched is
 * one.
 */
export interface ChunkRecord {
  numUses: number;
  /** It is the end of a prompt so far, as a partial last chunk is. */
  isPromptEnd: boolean;
  /** Whether any chunk was ever seen behind it. */
  hadChild: boolean;
  lastUse: number;
  /** Up to when the model knows that it was not used again. */
  observedUntil: number;
}

/** Chunks used more often than this are taken together. */
const MAX_USES = 6;
const NUM_KINDS = 2 * MAX_USES;
/** Ages are told apart by powers of two, from this one; chunks of one prompt are of one age. */
const YOUNGEST_LOG2 = 8;
const NUM_AGES = 20;
const AGE_STARTS: readonly number[] = Array.from({ length: NUM_AGES + 1 }, (_, age) =>
  age === 0 ? 0 : 2 ** (YOUNGEST_LOG2 + age - 1),
);
/**
 * A prompt's end is reused by the same prompt only, not by one that goes on. Taken for so much of
 * another's chance.
 */
const PROMPT_END_FACTOR = 0.3;
/** Reuses of a kind after which what was seen of it counts as much as what holds for all kinds. */
const KIND_PRIOR_REUSES = 100;
/** The same for all kinds against the first guess, which is: the chance falls with the age. */
const AGE_PRIOR_REUSES = 10;
const AGE_PRIOR_STEEPNESS = 4;

/**
 * Learns when chunks are used again. For each kind (how often used, prompt's end or not) and age
 * since the last use it keeps the number of reuses and the time spent at that age, also by chunks
 * that are not resident; their ratio is the chance of a reuse per unit of time. Kinds of which
 * little was seen borrow from the others: a chunk used n times is taken for n times as likely to be
 * used again.
 */
export class ReuseModel {
  /** By kind and age. */
  readonly #numReuses = new Float64Array(NUM_KINDS * NUM_AGES);
  readonly #timeSpent = new Float64Array(NUM_KINDS * NUM_AGES);
  readonly #worth = new Float64Array(NUM_KINDS * NUM_AGES);

  constructor() {
    this.update();
  }

  /** Notes that the chunk was not used until now. */
  observe(record: ChunkRecord, now: number): void {
    let from = record.observedUntil - record.lastUse;
    const until = now - record.lastUse;
    const cells = kindOf(record.numUses, record.isPromptEnd) * NUM_AGES;
    for (let age = ageOf(from); from < until; age++) {
      const to = age === NUM_AGES - 1 ? until : Math.min(until, AGE_STARTS[age + 1]!);
      this.#timeSpent[cells + age]! += to - from;
      from = to;
    }
    record.observedUntil = now;
  }

  /** Notes that the chunk is used now; the caller then changes its record. */
  observeReuse(record: ChunkRecord, now: number): void {
    this.observe(record, now);
    const cells = kindOf(record.numUses, record.isPromptEnd) * NUM_AGES;
    this.#numReuses[cells + ageOf(now - record.lastUse)]!++;
  }

  /** What keeping such a chunk brings, as of the last update: hits per unit of time. */
  worth(record: ChunkRecord, now: number): number {
    const kind = kindOf(record.numUses, record.isPromptEnd);
    return this.#worth[kind * NUM_AGES + ageOf(now - record.lastUse)]!;
  }

  worthOfNew(numUses: number): number {
    return this.#worth[kindOf(numUses, false) * NUM_AGES]!;
  }

  /** Lets what was seen so far count half. */
  decay(): void {
    for (const cells of [this.#numReuses, this.#timeSpent]) {
      for (let cell = 0; cell < cells.length; cell++) cells[cell]! /= 2;
    }
  }

  /** Takes what was seen since the last update into account. */
  update(): void {
    const common = this.#commonChances();
    const chances = new Float64Array(NUM_AGES);
    for (let kind = 0; kind < NUM_KINDS; kind++) {
      const cells = kind * NUM_AGES;
      for (let age = 0; age < NUM_AGES; age++) {
        const expected = common[age]! * priorFactor(kind);
        chances[age] =
          (this.#numReuses[cells + age]! + KIND_PRIOR_REUSES) /
          (this.#timeSpent[cells + age]! + KIND_PRIOR_REUSES / expected);
      }
      for (let age = 0; age < NUM_AGES; age++) this.#worth[cells + age] = bestRatio(chances, age);
    }
  }

  /** The chance of a reuse by age, for a chunk used once. */
  #commonChances(): Float64Array {
    return Float64Array.from({ length: NUM_AGES }, (_, age) => {
      let numReuses = AGE_PRIOR_REUSES;
      let timeSpent = AGE_PRIOR_REUSES * AGE_PRIOR_STEEPNESS * AGE_STARTS[age + 1]!;
      for (let kind = 0; kind < NUM_KINDS; kind++) {
        numReuses += this.#numReuses[kind * NUM_AGES + age]!;
        timeSpent += this.#timeSpent[kind * NUM_AGES + age]! * priorFactor(kind);
      }
      return numReuses / timeSpent;
    });
  }
}

function kindOf(numUses: number, isPromptEnd: boolean): number {
  return 2 * (Math.min(numUses, MAX_USES) - 1) + (isPromptEnd ? 1 : 0);
}

function priorFactor(kind: number): number {
  const numUses = 1 + (kind >> 1);
  return kind % 2 === 1 ? numUses * PROMPT_END_FACTOR : numUses;
}

function ageOf(time: number): number {
  if (time < 2 ** YOUNGEST_LOG2) return 0;
  return Math.min(NUM_AGES - 1, 1 + Math.floor(Math.log2(time)) - YOUNGEST_LOG2);
}

/**
 * Keeping a chunk until some later age brings the chance that it is used before, and costs the time
 * until then or until that use. The best ratio over all later ages is what the chunk is worth (a
 * Gittins index): one that was just used may be worth more in a while, and one that has waited long
 * enough nothing.
 */
function bestRatio(chances: Float64Array, fromAge: number): number {
  let unused = 1;
  let hits = 0;
  let time = 0;
  let best = 0;
  for (let age = fromAge; age < NUM_AGES; age++) {
    const used = -unused * Math.expm1(-chances[age]! * (AGE_STARTS[age + 1]! - AGE_STARTS[age]!));
    hits += used;
    time += used / chances[age]!;
    unused -= used;
    best = Math.max(best, hits / time);
  }
  return best;
}
