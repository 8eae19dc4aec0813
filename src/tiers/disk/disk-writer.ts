import path from "node:path";
import type { ChunkKey } from "../../core/index.ts";
import type { Chunk } from "../tier.ts";
import type { ChunkFiles } from "./chunk-files.ts";
import type { ChunkPlaces } from "./chunk-places.ts";
import type { ChunkRemover } from "./chunk-remover.ts";
import type { TierCounters } from "../tier-counters.ts";
import type { DirectoryScanner } from "./directory-scanner.ts";
import type { DiskSpace, Reservation } from "./disk-space.ts";
import { type FileSystem, errorCodeOf, removeIfPossible } from "./file-system.ts";
import type { IoExecutor } from "./io-executor.ts";
import type { Outage } from "./outage.ts";
import { type PendingWrite, PendingWrites, fileBytesOf } from "./pending-writes.ts";
import type { Recency } from "./recency.ts";
import type { TemporaryNames } from "./temporary-names.ts";

/** Others may fill the disk while we write: how often to make room again for one chunk. */
const MAX_FULL_RETRIES = 3;

export interface DiskWriterOptions {
  readonly fileSystem: FileSystem;
  readonly files: ChunkFiles;
  readonly places: ChunkPlaces;
  readonly space: DiskSpace;
  readonly executor: IoExecutor;
  readonly remover: ChunkRemover;
  readonly scanner: DirectoryScanner;
  readonly outage: Outage;
  readonly writeOutage: Outage;
  readonly counters: TierCounters;
  readonly temporaryNames: TemporaryNames;
  readonly recency: Recency;
  readonly maxInFlightBytes: number;
}

/**
 * Writes chunks behind the requests. A chunk's file comes into being under a temporary name and is
 * renamed when it is whole. When the disk is at its bound a victim's file becomes the temporary one
 * and is written over: no blocks or pages to find, which is two to three times as fast.
 */
export class DiskWriter {
  readonly #options: DiskWriterOptions;
  readonly #pending: PendingWrites;
  readonly #jobs = new Map<PendingWrite, Promise<void>>();

  constructor(options: DiskWriterOptions) {
    this.#options = options;
    this.#pending = new PendingWrites(options.maxInFlightBytes);
  }

  get numPending(): number {
    return this.#pending.size;
  }

  pendingKeys(): ChunkKey[] {
    return Array.from(this.#pending.values(), (write) => write.key);
  }

  /** A chunk that was accepted and can be served from its buffer. */
  get(key: ChunkKey): PendingWrite | undefined {
    return this.#pending.get(key);
  }

  /** @returns whether the chunk will be written, if the disk lets us */
  accept(chunk: Chunk, family: ReadonlySet<ChunkKey>): boolean {
    const { space } = this.#options;
    if (this.#isPaused || fileBytesOf(chunk) > space.capacityBytes) return false;
    const { key, parent } = chunk;
    if (!this.#hasRoomFor(fileBytesOf(chunk)) && !space.admits(key, parent)) return false;
    // Its old file is still on its way out.
    if (space.isLeaving(key) || this.#pending.isBusy(key)) return false;
    const write = this.#pending.accept(chunk, family);
    if (write === undefined) return false;
    // What lies behind the chunk in its last page is nobody's: zeros, and no other prompt's remains.
    chunk.buffer.capacity.fill(0, chunk.buffer.byteLength, write.fileBytes);
    this.#jobs.set(write, this.#run(write));
    return true;
  }

  /** Resolves when the chunk is sure not to come into being. Undefined if there is none to cancel. */
  cancel(key: ChunkKey): Promise<void> | undefined {
    const write = this.#pending.get(key);
    if (write === undefined) return undefined;
    write.isCancelled = true;
    return this.#jobs.get(write);
  }

  async flush(): Promise<void> {
    await Promise.all(this.#jobs.values());
  }

  /** Never rejects: what goes wrong here is counted. */
  async #run(write: PendingWrite): Promise<void> {
    const { executor, scanner, writeOutage, counters } = this.#options;
    try {
      if (!scanner.isRanked) await scanner.adopted;
      // What to evict is not known before.
      if (!scanner.isRanked && !this.#hasRoomFor(0)) await scanner.ranked;
      if (!(await executor.run("write", () => this.#write(write)))) counters.refused(1);
    } catch (error) {
      counters.refused(1);
      if (!isDiskFull(error)) {
        writeOutage.report(error);
        scanner.request();
      }
    } finally {
      this.#pending.finish(write);
      this.#jobs.delete(write);
    }
  }

  /** @returns false when there is no room */
  async #write(write: PendingWrite): Promise<boolean> {
    const { places, space, scanner, writeOutage, counters, temporaryNames } = this.#options;
    const { key, parent, fileBytes } = write;
    // It was removed, or found on disk, while it waited.
    if (write.isCancelled || space.has(key)) return true;
    if (this.#isPaused) return false;
    const place = places.homeOf(key);
    const target = places.pathOf(place, key);
    if (scanner.isShared && (await this.#isThere(target, fileBytes))) {
      // Another process was faster.
      space.add(key, parent, { place, fileBytes });
      scanner.appeared(key);
      return true;
    }
    scanner.willWrite(fileBytes);
    const reservation = space.reserve(fileBytes, (each) => write.family.has(each));
    if (reservation === undefined) return false;
    const name = temporaryNames.next();
    const temporary = path.join(places.directoryOf(place), name);
    try {
      if (reservation.victims.length > 0) await this.#clear(reservation, temporary);
      if (!(await this.#bringAbout(write, temporary, target))) return true;
      space.add(key, parent, { place, fileBytes });
    } finally {
      space.releaseFile(reservation);
      temporaryNames.release(name);
    }
    scanner.appeared(key);
    this.#options.recency.stored(key);
    counters.numStored++;
    writeOutage.recovered();
    return true;
  }

  /** @returns false if the write was cancelled, and there is no such file */
  async #bringAbout(write: PendingWrite, temporary: string, target: string): Promise<boolean> {
    const { fileSystem, space } = this.#options;
    try {
      await this.#fill(temporary, write);
      if (!write.isCancelled) await fileSystem.rename(temporary, target);
    } catch (error) {
      // What cannot be removed counts; the next scan tries again.
      if (!(await removeIfPossible(fileSystem, temporary))) space.strayBytes += write.fileBytes;
      throw error;
    }
    if (!write.isCancelled) return true;
    // A removal may have come while the file was being renamed.
    await removeIfPossible(fileSystem, temporary);
    await removeIfPossible(fileSystem, target);
    return false;
  }

  /** Removes the victims' files, or makes the one that fits the file to write over. */
  async #clear(reservation: Reservation, temporary: string): Promise<void> {
    const { places, space, remover } = this.#options;
    const { victims, fileBytes } = reservation;
    const [first] = victims;
    const isSame =
      victims.length === 1 &&
      first!.fileBytes === fileBytes &&
      places.directoryOf(first!.place) === path.dirname(temporary);
    try {
      await remover.evictAll(victims, isSame ? temporary : undefined);
    } finally {
      space.releaseSurplus(reservation);
    }
  }

  async #fill(temporary: string, write: PendingWrite): Promise<void> {
    const { fileSystem, files, space, remover } = this.#options;
    const bytes = write.buffer.capacity.subarray(0, write.fileBytes);
    for (let numRetries = 0; ; numRetries++) {
      try {
        return await files.write(temporary, bytes);
      } catch (error) {
        if (!isDiskFull(error) || numRetries === MAX_FULL_RETRIES) throw error;
        await removeIfPossible(fileSystem, temporary);
        const victim = space.evictOne((key) => write.family.has(key));
        if (victim === undefined) throw error;
        await remover.evictAll([victim]);
      }
    }
  }

  /** Beside all that was accepted already. */
  #hasRoomFor(fileBytes: number): boolean {
    const { space } = this.#options;
    const numWaitingBytes = this.#pending.totalBytes - space.reservedBytes;
    return space.hasRoomFor(numWaitingBytes + fileBytes);
  }

  /** After an outage it must be known again what is there before anything is added to it. */
  get #isPaused(): boolean {
    return this.#options.outage.isSuspect || this.#options.writeOutage.isActive;
  }

  async #isThere(target: string, fileBytes: number): Promise<boolean> {
    try {
      return (await this.#options.fileSystem.status(target)).byteLength === fileBytes;
    } catch (error) {
      if (errorCodeOf(error) === "ENOENT") return false;
      throw error;
    }
  }
}

function isDiskFull(error: unknown): boolean {
  const code = errorCodeOf(error);
  return code === "ENOSPC" || code === "EDQUOT";
}
