import type { ChunkKey } from "../../core/index.ts";
import { chunkFileName } from "./chunk-path.ts";

/** Where a chunk's file lies: a small number that stands for a directory and a name prefix. */
export type PlaceId = number;

/** Directories times models in them; more than this many in one directory are left alone. */
export const MAX_PLACES = 1024;

export interface ChunkPlacesOptions {
  readonly directories: readonly string[];
  /** Of the names of new files. */
  readonly prefix: string;
}

/**
 * The places where files lie. New ones are spread over the directories by their key, by the same rule
 * in every run; files of earlier runs, which may have had other directories or another model, are
 * known where they are.
 */
export class ChunkPlaces {
  readonly directories: readonly string[];
  readonly #places: { readonly directory: string; readonly prefix: string }[] = [];
  readonly #ids = new Map<string, PlaceId>();

  constructor(options: ChunkPlacesOptions) {
    this.directories = options.directories;
    // So the place of a new file has the number of its directory.
    for (const directory of options.directories) this.idOf(directory, options.prefix);
  }

  /** Where this process looks for a chunk it does not know, and writes a new one. */
  homeOf(key: ChunkKey): PlaceId {
    return Number.parseInt(key.slice(0, 8), 16) % this.directories.length;
  }

  /** @returns undefined when there are too many places already */
  idOf(directory: string, prefix: string): PlaceId | undefined {
    const name = `${directory}\0${prefix}`;
    const known = this.#ids.get(name);
    if (known !== undefined) return known;
    if (this.#places.length === MAX_PLACES) return undefined;
    const id = this.#places.push({ directory, prefix }) - 1;
    this.#ids.set(name, id);
    return id;
  }

  directoryOf(place: PlaceId): string {
    return this.#places[place]!.directory;
  }

  pathOf(place: PlaceId, key: ChunkKey): string {
    const { directory, prefix } = this.#places[place]!;
    return `${directory}/${chunkFileName(prefix, key)}`;
  }
}
