import { alignUp, formatBytes } from "../core/index.ts";
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
 * Chunks are taken from the low end, state parts (runs of neighbouring slabs) from the high end, so
 * that long runs stay possible. Slabs are reused and never given back: a page fault costs five
 * times the copy.
 */
export class MemoryPool implements Disposable {
  readonly slabBytes: number;
  readonly numSlabs: number;
  readonly memory: PoolMemory;

  /** 1 where a slab is taken. */
  readonly #taken: Uint8Array;
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
    this.#taken = new Uint8Array(this.numSlabs);
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
      if (numSlabs > this.numSlabs || !this.#reclaimers.some((reclaim) => reclaim())) {
        return undefined;
      }
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
      if (this.#taken[slab]) continue;
      this.#take(slab, 1);
      return slab;
    }
  }

  /** First fit from the high end. */
  #takeRun(length: number): number | undefined {
    if (this.#numFree < length) return undefined;
    let run = 0;
    for (let slab = this.numSlabs - 1; slab >= 0; slab--) {
      run = this.#taken[slab] ? 0 : run + 1;
      if (run === length) {
        this.#take(slab, length);
        return slab;
      }
    }
    return undefined;
  }

  #take(slab: number, length: number): void {
    this.#taken.fill(1, slab, slab + length);
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
      view,
      address: this.memory.address === undefined ? undefined : this.memory.address + BigInt(offset),
      free: () => this.#release(slab, length),
    };
  }

  #release(slab: number, length: number): void {
    this.#taken.fill(0, slab, slab + length);
    this.#numFree += length;
    for (let i = slab + length - 1; i >= slab; i--) {
      if (this.#stacked[i]) continue;
      this.#stacked[i] = 1;
      this.#freeStack.push(i);
    }
  }
}

/** Frees at least one slab and says so, or says that it cannot. */
export type Reclaimer = () => boolean;

/** A run of slabs on loan. */
export interface Allocation {
  readonly view: Uint8Array;
  readonly address: bigint | undefined;
  free(): void;
}
