import type { ChunkKey, Clock } from "../../core/index.ts";
import type { ChunkPlaces } from "./chunk-places.ts";
import type { DiskSpace } from "./disk-space.ts";
import type { FileSystem } from "./file-system.ts";
import type { IoExecutor } from "./io-executor.ts";

/** A use is written down at most this often per chunk: what matters at a restart is the rough order. */
const INTERVAL_MS = 60_000;
/** More uses than this at once are not worth writing down. */
const MAX_QUEUED = 256;
const MAX_REMEMBERED = 10_000;

export interface RecencyOptions {
  readonly fileSystem: FileSystem;
  readonly places: ChunkPlaces;
  readonly space: DiskSpace;
  readonly executor: IoExecutor;
  readonly clock: Clock;
}

/** Keeps the order of use across restarts, as the files' times of modification. */
export class Recency {
  readonly #options: RecencyOptions;
  readonly #recent = new Set<ChunkKey>();
  #forgetAtMs = 0;

  constructor(options: RecencyOptions) {
    this.#options = options;
  }

  used(keys: readonly ChunkKey[]): void {
    const { executor } = this.#options;
    this.#expire();
    for (const key of keys) {
      if (this.#recent.has(key)) continue;
      if (executor.numQueued("refresh") >= MAX_QUEUED) return;
      this.#recent.add(key);
      executor.submit("refresh", () => this.#write(key));
    }
  }

  /** Its file is new, and says so by itself. */
  stored(key: ChunkKey): void {
    this.#expire();
    this.#recent.add(key);
  }

  #expire(): void {
    const nowMs = this.#options.clock.nowMs();
    if (nowMs < this.#forgetAtMs && this.#recent.size < MAX_REMEMBERED) return;
    this.#recent.clear();
    this.#forgetAtMs = nowMs + INTERVAL_MS;
  }

  async #write(key: ChunkKey): Promise<void> {
    const { fileSystem, places, space, clock } = this.#options;
    const file = space.fileOf(key);
    if (file === undefined) return;
    // Losing this is no loss.
    const path = places.pathOf(file.place, key);
    await Promise.allSettled([fileSystem.setModified(path, clock.wallMs())]);
  }
}
