import type { ChunkKey } from "../../core/index.ts";
import type { ChunkPlaces } from "./chunk-places.ts";
import type { TierCounters } from "../tier-counters.ts";
import type { DiskSpace, Victim } from "./disk-space.ts";
import { type FileSystem, errorCodeOf } from "./file-system.ts";
import type { Outage } from "./outage.ts";

export interface ChunkRemoverOptions {
  readonly fileSystem: FileSystem;
  readonly places: ChunkPlaces;
  readonly space: DiskSpace;
  readonly writeOutage: Outage;
  readonly counters: TierCounters;
}

/** Takes chunks off the disk and keeps the books right while it does. */
export class ChunkRemover {
  readonly #options: ChunkRemoverOptions;

  constructor(options: ChunkRemoverOptions) {
    this.#options = options;
  }

  /**
   * For damage and for users.
   *
   * @returns whether there was such a chunk
   */
  async remove(key: ChunkKey): Promise<boolean> {
    const { places, space } = this.#options;
    const victim = space.remove(key);
    if (victim === undefined) {
      // Another process may have written it.
      const isRemoved = (await this.#unlink(places.pathOf(places.homeOf(key), key))) === "removed";
      if (isRemoved) space.noteGone(key);
      return isRemoved;
    }
    const result = await this.#unlink(places.pathOf(victim.place, key));
    // What cannot be removed is still there, to be found and counted.
    if (result === "failed") space.revoke(victim);
    else space.settle(victim);
    return result !== "failed";
  }

  /** Removes a file whose content is not what its name says. */
  async removeDamaged(key: ChunkKey, path: string, reason: string): Promise<void> {
    const { counters, places, space } = this.#options;
    counters.damaged(key, reason);
    const known = space.fileOf(key);
    if (known !== undefined && places.pathOf(known.place, key) === path) await this.remove(key);
    else await this.#unlink(path);
  }

  /**
   * Removes the victims' files, or makes them `recycled`: such a file has a new name, its pages are
   * there to be written over, and nobody finds it.
   *
   * @throws the system's error; the victims that are left are then back in the books
   */
  async evictAll(victims: readonly Victim[], recycled?: string): Promise<void> {
    const { fileSystem, places, space, counters } = this.#options;
    let numGone = 0;
    try {
      for (const victim of victims) {
        const path = places.pathOf(victim.place, victim.key);
        await ignoringMissing(
          recycled === undefined ? fileSystem.unlink(path) : fileSystem.rename(path, recycled),
        );
        space.settle(victim);
        numGone++;
      }
    } finally {
      for (const victim of victims.slice(numGone)) space.revoke(victim);
      counters.evicted(numGone);
    }
  }

  async #unlink(path: string): Promise<"removed" | "missing" | "failed"> {
    const { fileSystem, writeOutage } = this.#options;
    try {
      await fileSystem.unlink(path);
      return "removed";
    } catch (error) {
      if (errorCodeOf(error) === "ENOENT") return "missing";
      writeOutage.report(error);
      return "failed";
    }
  }
}

/** A file that another process removed first is gone all the same. */
async function ignoringMissing(removal: Promise<void>): Promise<void> {
  try {
    await removal;
  } catch (error) {
    if (errorCodeOf(error) !== "ENOENT") throw error;
  }
}
