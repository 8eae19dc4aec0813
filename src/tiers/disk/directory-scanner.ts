import path from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ChunkKey, Clock } from "../../core/index.ts";
import { parseChunkFileName } from "./chunk-path.ts";
import type { ChunkPlaces, PlaceId } from "./chunk-places.ts";
import { forEachConcurrently } from "./concurrency.ts";
import type { ChunkRemover } from "./chunk-remover.ts";
import type { DepartureWatch } from "./departure-watch.ts";
import type { DiskSpace } from "./disk-space.ts";
import type { FileInspector, FoundFile } from "./file-inspector.ts";
import { type FileSystem, errorCodeOf, removeIfPossible } from "./file-system.ts";
import type { Outage } from "./outage.ts";
import { type TemporaryNames, isTemporaryName } from "./temporary-names.ts";
import { sweepTemporaryFiles } from "./temporary-sweep.ts";

/** Small calls in flight. Their cost is the way to another thread and back, which many share. */
const NUM_CALLS = 32;
/** Entries handled before others get a turn. */
const SLICE = 1000;
/**
 * Another process may write to the directory too. It is listed again when we have written this part of
 * the bound, so about that much from each process is unknown to the others,
 */
const RESCAN_AFTER_PART = 1 / 20;
/** but no sooner than after this time, of which a scan takes a twentieth or less. */
const MIN_PAUSE_MS = 250;
const PAUSE_PER_FILE_MS = 0.03;

export interface DirectoryScannerOptions {
  readonly fileSystem: FileSystem;
  readonly inspector: FileInspector;
  readonly places: ChunkPlaces;
  readonly space: DiskSpace;
  readonly remover: ChunkRemover;
  readonly outage: Outage;
  readonly clock: Clock;
  readonly temporaryNames: TemporaryNames;
}

/**
 * Finds the files that are there: at the start those of earlier runs, later those of other processes.
 * First all are adopted by name, size and age, newest first: they count and are served. Then, still in
 * the background, each header is read for the chunk's parent, which decides what may be evicted before
 * what. No payload is read.
 *
 * What becomes of a file that is
 *   - named by `chunkFileName`, for any model, and whole: adopted.
 *   - so named, but cut off, of another version or with another key inside: removed, counted as damaged.
 *   - a second file of one key (other directory or model name): removed.
 *   - a temporary file: removed if its process is gone, else counted.
 *   - anything else, or not ours to read: left alone, not counted.
 */
export class DirectoryScanner {
  readonly #options: DirectoryScannerOptions;
  readonly #adopted: Promise<void>;
  readonly #ranked: Promise<void>;
  #markAdopted!: () => void;
  #markRanked!: () => void;
  #isRanked = false;
  #isShared = false;
  #isClosed = false;
  #current: Promise<void> | undefined;
  /** Chunks that came while a scan runs: it may not have seen their files. */
  readonly #fresh = new Set<ChunkKey>();
  #bytesSinceScan = 0;
  #nextStartMs = Number.NEGATIVE_INFINITY;

  constructor(options: DirectoryScannerOptions) {
    this.#options = options;
    this.#adopted = new Promise((resolve) => (this.#markAdopted = resolve));
    this.#ranked = new Promise((resolve) => (this.#markRanked = resolve));
  }

  start(): void {
    void this.#scan();
  }

  /** Resolves when all that was there at the start is found and counted. Never rejects. */
  get adopted(): Promise<void> {
    return this.#adopted;
  }

  /** Resolves when all of that can be evicted. Never rejects. */
  get ranked(): Promise<void> {
    return this.#ranked;
  }
  get isRanked(): boolean {
    return this.#isRanked;
  }

  /** Whether another process was seen to use the directory. */
  get isShared(): boolean {
    return this.#isShared;
  }

  /** To be told how much is going to be written. */
  willWrite(numBytes: number): void {
    this.#bytesSinceScan += numBytes;
    if (this.#bytesSinceScan > this.#options.space.capacityBytes * RESCAN_AFTER_PART) {
      this.request();
    }
  }

  /** For when the directory may be other than thought. */
  request(): void {
    const { clock, outage } = this.#options;
    if (this.#isClosed || outage.isActive) return;
    if (clock.nowMs() >= this.#nextStartMs) void this.#scan();
  }

  /** A complete look, now. Never rejects. */
  async refresh(): Promise<void> {
    await this.#current;
    await this.#scan();
  }

  /** To be told of each file that came otherwise. */
  appeared(key: ChunkKey): void {
    if (this.#current !== undefined) this.#fresh.add(key);
  }

  /** Takes the file of this key into the books, if another process has put it where this one would. */
  async adopt(key: ChunkKey): Promise<void> {
    const { inspector, places, space } = this.#options;
    if (space.isLeaving(key)) return;
    using watch = space.watchDepartures();
    const file = await inspector.find(key, places.homeOf(key));
    const known = file && (await inspector.parentOf(file, watch));
    if (known === undefined || space.isLeaving(key) || watch.has(key)) return;
    this.#noticeOthers();
    space.add(key, known.parent, file!);
    this.appeared(key);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#current;
  }

  /** One at a time; joins the one under way. */
  #scan(): Promise<void> {
    this.#current ??= this.#scanNow().finally(() => (this.#current = undefined));
    return this.#current;
  }

  async #scanNow(): Promise<void> {
    const { clock, outage, space } = this.#options;
    this.#nextStartMs = clock.nowMs() + MIN_PAUSE_MS + PAUSE_PER_FILE_MS * space.numChunks;
    this.#bytesSinceScan = 0;
    this.#fresh.clear();
    using watch = space.watchDepartures();
    try {
      const seen = new Set<ChunkKey>();
      const found = await this.#find(await this.#list(seen));
      const adopted = await this.#adoptAll(found, watch);
      this.#forgetAllBut(seen);
      this.#markAdopted();
      await this.#rankAll(adopted, watch);
      await this.#evictDown();
      outage.recovered();
    } catch (error) {
      outage.report(error);
    }
    this.#markAdopted();
    if (!this.#isRanked) space.endAdoption();
    this.#isRanked = true;
    this.#markRanked();
  }

  /** @returns where there are chunk files that are not in the books */
  async #list(seen: Set<ChunkKey>): Promise<Location[]> {
    const { fileSystem, places, space, outage, temporaryNames } = this.#options;
    const unknown: Location[] = [];
    const temporary: string[] = [];
    for (const directory of places.directories) {
      try {
        for await (const name of fileSystem.list(directory)) {
          const parsed = parseChunkFileName(name);
          if (parsed === undefined) {
            if (isTemporaryName(name)) temporary.push(path.join(directory, name));
            continue;
          }
          const place = places.idOf(directory, parsed.prefix);
          if (place === undefined) continue;
          seen.add(parsed.key);
          if (space.fileOf(parsed.key)?.place !== place) unknown.push({ key: parsed.key, place });
        }
      } catch (error) {
        if (errorCodeOf(error) !== "ENOENT") throw error;
        outage.report(error);
        await fileSystem.makeDirectory(directory);
      }
    }
    const swept = await sweepTemporaryFiles(temporary, temporaryNames, fileSystem);
    space.strayBytes = swept.strayBytes;
    if (swept.isShared) this.#noticeOthers();
    return unknown;
  }

  /** @returns newest first */
  async #find(locations: readonly Location[]): Promise<FoundFile[]> {
    const found: FoundFile[] = [];
    await this.#forEach(locations, async ({ key, place }) => {
      const file = await this.#options.inspector.find(key, place);
      if (file !== undefined) found.push(file);
    });
    return found.sort((a, b) => b.modifiedMs - a.modifiedMs);
  }

  /** @returns those that are new in the books, newest first */
  async #adoptAll(found: readonly FoundFile[], watch: DepartureWatch): Promise<FoundFile[]> {
    const { fileSystem, places, space } = this.#options;
    const adopted: FoundFile[] = [];
    for (const [index, file] of found.entries()) {
      if (index % SLICE === 0) await nextTurn();
      if (space.isLeaving(file.key) || watch.has(file.key)) continue;
      const known = space.fileOf(file.key);
      if (known === undefined) {
        this.#noticeOthers();
        space.addUnranked(file.key, file);
        adopted.push(file);
      } else if (known.place !== file.place) {
        await removeIfPossible(fileSystem, places.pathOf(file.place, file.key));
      }
    }
    return adopted;
  }

  /** @param adopted newest first; a policy takes what comes last for the newest */
  async #rankAll(adopted: readonly FoundFile[], watch: DepartureWatch): Promise<void> {
    const { inspector, space } = this.#options;
    const parents = new Map<ChunkKey, ChunkKey | undefined>();
    await this.#forEach(adopted, async (file) => {
      const known = await inspector.parentOf(file, watch);
      if (known !== undefined) parents.set(file.key, known.parent);
      else if (!watch.has(file.key)) space.forget(file.key);
    });
    for (let index = adopted.length - 1; index >= 0; index--) {
      if (index % SLICE === 0) await nextTurn();
      const { key } = adopted[index]!;
      if (!watch.has(key)) space.rank(key, parents.get(key));
    }
  }

  #forgetAllBut(seen: ReadonlySet<ChunkKey>): void {
    const { space } = this.#options;
    if (this.#isClosed) return;
    for (const key of space.keys()) {
      if (!seen.has(key) && !this.#fresh.has(key)) space.forget(key);
    }
  }

  /** Others may have written more than fits, or the bound may be lower than it was. */
  async #evictDown(): Promise<void> {
    const { remover, space } = this.#options;
    while (!space.hasRoomFor(0) && !this.#isClosed) {
      const victim = space.evictOne(() => false);
      if (victim === undefined) return;
      await remover.evictAll([victim]);
    }
  }

  /** Files that nobody of ours wrote after the start. */
  #noticeOthers(): void {
    if (this.#isRanked) this.#isShared = true;
  }

  async #forEach<T>(items: readonly T[], job: (item: T) => Promise<unknown>): Promise<void> {
    await forEachConcurrently(items, NUM_CALLS, async (item) => {
      if (!this.#isClosed) await job(item);
    });
  }
}

/** Where a file was listed. */
interface Location {
  readonly key: ChunkKey;
  readonly place: PlaceId;
}
