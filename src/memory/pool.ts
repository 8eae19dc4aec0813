import { alignUp, formatBytes } from "../core/index.ts";
import { FreeRuns } from "./free-runs.ts";
import { KvBuffer } from "./kv-buffer.ts";
import type { PoolMemory } from "./pool-memory.ts";

/** The unit of slab sizes: what a page table, O_DIRECT and mlock all agree on. */
export const PAGE_BYTES = 4096;

/**
 * A bounded set of equal slabs, one chunk each. What is allocated here is all the memory that KV
 * takes outside the engine, in-flight buffers included.
 *
 *     slab 0 .. ->                                  <- .. slab n-1
 *     [chunk][chunk][chunk][ free ............ ][ state part run ]
 *
 * Chunks are taken from the low end, state parts and values of any size (runs of neighbouring slabs)
 * from the high end, so that long runs stay possible. Slabs are reused and never given back: a page
 * fault costs five times the copy.
 *
 * When no run is long enough, one is made around the chunk that can be spared best: what lies beside it
 * goes, if it can, instead of what would be next. So a run costs little more than its own length, however
 * small the chunks are that lie in its way. Among chunks of one size nothing but the best is given up.
 */
export class MemoryPool implements Disposable {
  readonly slabBytes: number;
  readonly numSlabs: number;
  readonly memory: PoolMemory;

  readonly #runs: FreeRuns;
  /** By the first and by the last slab of what is taken: how many slabs it has. */
  readonly #lengths: Int32Array;
  /** Slabs to try first, last in first out. May hold slabs that a run has taken meanwhile. */
  readonly #freeStack: number[] = [];
  /** 1 where a slab stands in #freeStack. */
  readonly #stacked: Uint8Array;
  readonly #views: (Uint8Array | undefined)[];
  readonly #reclaimers: Reclaimer[] = [];
  #numFree: number;
  #peakUsed = 0;

  constructor(memory: PoolMemory, slabBytes: number) {
    this.memory = memory;
    this.slabBytes = alignUp(slabBytes, PAGE_BYTES);
    this.numSlabs = Math.floor(memory.byteLength / this.slabBytes);
    if (this.numSlabs < 1) {
      throw new RangeError(
        `Cannot make a pool of ${formatBytes(memory.byteLength)} as one chunk takes ${formatBytes(this.slabBytes)}`,
      );
    }
    this.#runs = new FreeRuns(this.numSlabs);
    this.#lengths = new Int32Array(this.numSlabs);
    this.#stacked = new Uint8Array(this.numSlabs).fill(1);
    this.#views = Array.from({ length: this.numSlabs });
    for (let slab = this.numSlabs - 1; slab >= 0; slab--) this.#freeStack.push(slab);
    this.#numFree = this.numSlabs;
  }

  get capacityBytes(): number {
    return this.numSlabs * this.slabBytes;
  }
  get usedBytes(): number {
    return (this.numSlabs - this.#numFree) * this.slabBytes;
  }
  get numFreeSlabs(): number {
    return this.#numFree;
  }
  /** The most slabs ever taken at once. */
  get peakUsedBytes(): number {
    return this.#peakUsed * this.slabBytes;
  }

  /**
   * Registers somebody who can free slabs when none is left (the CPU tier, by evicting).
   * Asked in the order of registration.
   */
  addReclaimer(reclaimer: Reclaimer): void {
    this.#reclaimers.push(reclaimer);
  }

  /**
   * Memory for `byteLength` bytes, or undefined when everything is in use and nothing can be
   * reclaimed: the caller then goes without. Never waits.
   */
  tryAllocate(byteLength: number): KvBuffer | undefined {
    const numSlabs = Math.max(1, Math.ceil(byteLength / this.slabBytes));
    for (;;) {
      const slab = numSlabs === 1 ? this.#takeOne() : this.#takeRun(numSlabs);
      if (slab !== undefined) return new KvBuffer(this.#allocation(slab, numSlabs), byteLength);
      if (numSlabs > this.numSlabs || !this.#reclaim(numSlabs)) return undefined;
    }
  }

  /** Throws unless every slab is home. For tests and for the idle engine. */
  assertAllFree(): void {
    if (this.#numFree !== this.numSlabs) {
      throw new Error(`${this.numSlabs - this.#numFree} of ${this.numSlabs} slabs are not home`);
    }
  }

  [Symbol.dispose](): void {
    this.memory[Symbol.dispose]();
  }

  #takeOne(): number | undefined {
    for (;;) {
      const slab = this.#freeStack.pop();
      if (slab === undefined) return undefined;
      this.#stacked[slab] = 0;
      if (!this.#runs.isFree(slab)) continue;
      this.#take(slab, 1);
      return slab;
    }
  }

  /** From the high end. */
  #takeRun(length: number): number | undefined {
    const slab = this.#runs.findLast(length);
    if (slab !== undefined) this.#take(slab, length);
    return slab;
  }

  #reclaim(length: number): boolean {
    return this.#reclaimers.some((reclaimer) =>
      length === 1 ? reclaimer.reclaim() : this.#reclaimRun(reclaimer, length),
    );
  }

  #reclaimRun(reclaimer: Reclaimer, length: number): boolean {
    let range: SlabRange | undefined;
    const isFound = reclaimer.reclaim((slab) => {
      range = this.#rangeAround(slab, length, reclaimer);
      return range !== undefined;
    });
    if (!isFound || range === undefined) return false;
    for (let slab = range.start; slab < range.end; slab++) {
      if (!this.#runs.isFree(slab)) reclaimer.reclaimAt(slab);
    }
    return true;
  }

  /** `length` slabs or more, all of them free or to be had, around what begins at `slab`. */
  #rangeAround(slab: number, length: number, reclaimer: Reclaimer): SlabRange | undefined {
    let start = slab;
    let end = slab + this.#lengths[slab]!;
    while (end - start < length) {
      if (start > 0 && this.#runs.isFree(start - 1)) start--;
      else if (end < this.numSlabs && this.#runs.isFree(end)) end++;
      else {
        const before = start > 0 ? this.#lengths[start - 1]! : Infinity;
        const behind = end < this.numSlabs ? this.#lengths[end]! : Infinity;
        const canTakeBefore = before < Infinity && reclaimer.canReclaimAt(start - before);
        const canTakeBehind = behind < Infinity && reclaimer.canReclaimAt(end);
        // The smaller loss.
        if (canTakeBefore && (before <= behind || !canTakeBehind)) start -= before;
        else if (canTakeBehind) end += behind;
        else return undefined;
      }
    }
    return { start, end };
  }

  #take(slab: number, length: number): void {
    this.#runs.take(slab, length);
    this.#lengths[slab] = length;
    this.#lengths[slab + length - 1] = length;
    this.#numFree -= length;
    this.#peakUsed = Math.max(this.#peakUsed, this.numSlabs - this.#numFree);
  }

  #allocation(slab: number, length: number): Allocation {
    const offset = slab * this.slabBytes;
    const view =
      length === 1
        ? (this.#views[slab] ??= this.memory.view(offset, this.slabBytes))
        : this.memory.view(offset, length * this.slabBytes);
    return {
      slab,
      view,
      address: this.memory.address === undefined ? undefined : this.memory.address + BigInt(offset),
      free: () => this.#release(slab, length),
    };
  }

  #release(slab: number, length: number): void {
    this.#runs.release(slab, length);
    this.#numFree += length;
    for (let i = slab + length - 1; i >= slab; i--) {
      if (this.#stacked[i]) continue;
      this.#stacked[i] = 1;
      this.#freeStack.push(i);
    }
  }
}

/** Somebody who can give memory back that others need more. */
export interface Reclaimer {
  /**
   * Frees what it can spare best, and says so; or says that it cannot.
   *
   * @param isUseful whether it would help to free what begins at this slab; without it, anything does
   */
  reclaim(isUseful?: (slab: number) => boolean): boolean;
  /** Whether it could free what begins at this slab. */
  canReclaimAt(slab: number): boolean;
  reclaimAt(slab: number): void;
}

interface SlabRange {
  readonly start: number;
  /** Behind the last. */
  readonly end: number;
}

/** A run of slabs on loan. */
export interface Allocation {
  /** The first one's number. */
  readonly slab: number;
  readonly view: Uint8Array;
  readonly address: bigint | undefined;
  free(): void;
}
