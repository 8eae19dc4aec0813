import type { ChunkKey } from "../../core/index.ts";
import type { EvictionPolicy } from "../policies/index.ts";
import { DepartureWatch } from "./departure-watch.ts";
import { type ChunkFile, DiskIndex } from "./disk-index.ts";

/**
 * How many held chunks a search for a victim looks past. Only chunks without a resident child are
 * candidates, so this is about the number of prompts in use at the same time.
 */
const MAX_VICTIM_PROBES = 1024;
const MAX_EARLY_TOUCHES = 1000;

/** A chunk on its way out: known no more, its file still there until it is `settled`. */
export interface Victim extends ChunkFile {
  readonly key: ChunkKey;
  /** False for those that a reservation counts. */
  readonly isCounted: boolean;
}

/** Room for a file, once the victims are gone. Until then they take it, and what they take beyond it. */
export interface Reservation {
  readonly fileBytes: number;
  readonly victims: readonly Victim[];
  /** What they take beyond the file. */
  readonly surplusBytes: number;
}

/**
 * Which chunks are on disk, who holds them and how many bytes they take: bookkeeping only, no I/O, so
 * each step is whole. What counts is
 *
 *     files in the index + reservations for writes + files being removed + stray temporary files
 *
 * A write begins only when the victims it was given room by are gone. So if the sum is within the
 * capacity, what is on disk is, at any moment.
 */
export class DiskSpace {
  readonly capacityBytes: number;
  readonly #policy: EvictionPolicy;
  readonly #index = new DiskIndex();
  readonly #numLeases = new Map<ChunkKey, number>();
  /** Keys whose files are being removed: not to be stored again before they are gone. */
  readonly #leaving = new Set<ChunkKey>();
  readonly #watches = new Set<DepartureWatch>();
  #reservedBytes = 0;
  #leavingBytes = 0;
  /** Uses of chunks that may have no rank yet; undefined once all have. */
  #earlyTouches: (readonly ChunkKey[])[] | undefined = [];
  /** Temporary files that other processes write or that could not be removed. */
  strayBytes = 0;

  constructor(capacityBytes: number, policy: EvictionPolicy) {
    this.capacityBytes = capacityBytes;
    this.#policy = policy;
  }

  get numChunks(): number {
    return this.#index.size;
  }
  get usedBytes(): number {
    return this.#index.totalBytes + this.#reservedBytes + this.#leavingBytes + this.strayBytes;
  }

  /** For writes under way. */
  get reservedBytes(): number {
    return this.#reservedBytes;
  }

  keys(): Iterable<ChunkKey> {
    return this.#index.keys();
  }
  has(key: ChunkKey): boolean {
    return this.#index.has(key);
  }
  fileOf(key: ChunkKey): ChunkFile | undefined {
    return this.#index.get(key);
  }
  isLeaving(key: ChunkKey): boolean {
    return this.#leaving.has(key);
  }

  /** A file is there and whole. */
  add(key: ChunkKey, parent: ChunkKey | undefined, file: ChunkFile): void {
    this.addUnranked(key, file);
    this.rank(key, parent);
  }

  /** Found and counted; cannot be evicted before `rank` tells its parent. */
  addUnranked(key: ChunkKey, file: ChunkFile): void {
    this.#index.add(key, file);
  }

  rank(key: ChunkKey, parent: ChunkKey | undefined): void {
    if (this.#index.has(key)) this.#policy.add(key, parent);
  }

  touch(keys: readonly ChunkKey[]): void {
    this.#policy.touch(keys);
    if (this.#earlyTouches && this.#earlyTouches.length < MAX_EARLY_TOUCHES) {
      this.#earlyTouches.push(keys);
    }
  }

  /** To be called once what was found at the start is ranked: what was used meanwhile counts as used now. */
  endAdoption(): void {
    for (const keys of this.#earlyTouches ?? []) this.#policy.touch(keys);
    this.#earlyTouches = undefined;
  }

  /** The file turned out to be gone. */
  forget(key: ChunkKey): void {
    this.#index.delete(key);
    this.#policy.remove(key);
  }

  /** Whether the policy thinks the chunk worth the room that it needs when there is none. */
  admits(key: ChunkKey, parent: ChunkKey | undefined): boolean {
    return this.#policy.admits?.(key, parent) !== false;
  }

  /** Takes a chunk out. */
  remove(key: ChunkKey): Victim | undefined {
    return this.#take(key, true);
  }

  /** Takes the next victim out. @param mustStay chunks not to be taken beside those that are held */
  evictOne(mustStay: (key: ChunkKey) => boolean): Victim | undefined {
    return this.#takeVictim(mustStay, true);
  }

  hasRoomFor(fileBytes: number): boolean {
    return this.usedBytes + fileBytes <= this.capacityBytes;
  }

  /**
   * Reserves room for a file, if chunks that may go can make it.
   *
   * @param mustStay chunks that the new one is worth nothing without
   */
  reserve(fileBytes: number, mustStay: (key: ChunkKey) => boolean): Reservation | undefined {
    const victims: Victim[] = [];
    let victimBytes = 0;
    while (!this.hasRoomFor(fileBytes)) {
      const victim = this.#takeVictim(mustStay, false);
      if (victim === undefined) {
        for (const each of victims) this.revoke(each);
        return undefined;
      }
      victims.push(victim);
      victimBytes += victim.fileBytes;
    }
    const surplusBytes = Math.max(0, victimBytes - fileBytes);
    this.#reservedBytes += fileBytes + surplusBytes;
    return { fileBytes, victims, surplusBytes };
  }

  /** To be called when the victims are gone. */
  releaseSurplus(reservation: Reservation): void {
    this.#reservedBytes -= reservation.surplusBytes;
  }

  /** To be called when the file is in the index or was given up. */
  releaseFile(reservation: Reservation): void {
    this.#reservedBytes -= reservation.fileBytes;
  }

  /** To be called for each victim when its file is gone. */
  settle(victim: Victim): void {
    this.#leaving.delete(victim.key);
    if (victim.isCounted) this.#leavingBytes -= victim.fileBytes;
    this.noteGone(victim.key);
  }

  /** To be called for files that were removed without being in the books. */
  noteGone(key: ChunkKey): void {
    for (const watch of this.#watches) watch.note(key);
  }

  /** For whoever looks at files and takes them into the books later. */
  watchDepartures(): DepartureWatch {
    return new DepartureWatch(this.#watches);
  }

  /** It stays after all: its file could not be removed, or that would have been for nothing. */
  revoke(victim: Victim): void {
    this.settle(victim);
    this.add(victim.key, undefined, victim);
  }

  hold(key: ChunkKey): void {
    this.#numLeases.set(key, (this.#numLeases.get(key) ?? 0) + 1);
  }

  unhold(key: ChunkKey): void {
    const num = this.#numLeases.get(key)! - 1;
    if (num === 0) this.#numLeases.delete(key);
    else this.#numLeases.set(key, num);
  }

  isHeld(key: ChunkKey): boolean {
    return this.#numLeases.has(key);
  }

  #takeVictim(mustStay: (key: ChunkKey) => boolean, isCounted: boolean): Victim | undefined {
    const isHeld = (key: ChunkKey): boolean => this.isHeld(key) || mustStay(key);
    let numProbes = 0;
    const key = this.#policy.victim((each) => ++numProbes < MAX_VICTIM_PROBES && isHeld(each));
    return key === undefined || isHeld(key) ? undefined : this.#take(key, isCounted);
  }

  #take(key: ChunkKey, isCounted: boolean): Victim | undefined {
    const file = this.#index.delete(key);
    this.#policy.remove(key);
    if (file === undefined) return undefined;
    this.#leaving.add(key);
    if (isCounted) this.#leavingBytes += file.fileBytes;
    return { key, isCounted, ...file };
  }
}
