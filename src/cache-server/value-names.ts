import path from "node:path";
import type { ChunkKey } from "../core/index.ts";
import { silentLogger } from "../core/index.ts";
import {
  ChunkFiles,
  type CpuTier,
  nodeFileSystem,
  parseChunkFileName,
  readChunkHeader,
} from "../tiers/index.ts";
import { VALUE_HEADER_BYTES, nameOf } from "./value.ts";

/** Small reads in flight: their cost is the way to another thread and back. */
const NUM_READS = 32;

export interface ValueNamesOptions {
  readonly cpuTier: CpuTier;
  /** Of the disk tier, if there is one. */
  readonly directories: readonly string[];
}

/**
 * Finds out the names of what is stored when somebody asks: in RAM and in the directories of the disk tier. Keeps
 * nothing, so there is nothing to bound and nothing to lose in a restart.
 */
export class ValueNames {
  readonly #cpuTier: CpuTier;
  readonly #directories: readonly string[];
  readonly #files = new ChunkFiles({
    fileSystem: nodeFileSystem,
    useOdirect: false,
    logger: silentLogger,
  });

  constructor(options: ValueNamesOptions) {
    this.#cpuTier = options.cpuTier;
    this.#directories = options.directories;
  }

  /** In the order of the keys. Fewer than `maxNames` only at the end. */
  async page(after: ChunkKey | undefined, maxNames: number): Promise<string[]> {
    const names: string[] = [];
    let last = after;
    while (names.length < maxNames) {
      const found = await this.#firstKeys(last, maxNames - names.length);
      if (found.length === 0) break;
      for (let start = 0; start < found.length; start += NUM_READS) {
        const group = found.slice(start, start + NUM_READS);
        const read = await Promise.all(group.map((each) => this.#nameOf(each)));
        names.push(...read.filter((name) => name !== undefined));
      }
      last = found.at(-1)!.key;
    }
    return names;
  }

  async #firstKeys(after: ChunkKey | undefined, maxKeys: number): Promise<Place[]> {
    const first = new FirstKeys(after ?? "", maxKeys);
    for (const key of this.#cpuTier.keys()) first.offer({ key, path: undefined });
    for (const directory of this.#directories) {
      for await (const file of nodeFileSystem.list(directory)) {
        const key = parseChunkFileName(file)?.key;
        if (key !== undefined) first.offer({ key, path: path.join(directory, file) });
      }
    }
    return first.toSorted();
  }

  /** Undefined for what is gone, and for what is no value. */
  async #nameOf({ key, path: file }: Place): Promise<string | undefined> {
    const buffer = this.#cpuTier.peek(key);
    let header = buffer && readChunkHeader(buffer.bytes.subarray(0, VALUE_HEADER_BYTES));
    if (header === undefined && file !== undefined) {
      header = await this.#files.readHeader(file, VALUE_HEADER_BYTES).catch(() => undefined);
    }
    return header?.key === key ? nameOf(header) : undefined;
  }
}

interface Place {
  readonly key: ChunkKey;
  /** Undefined for what is in RAM. */
  readonly path: string | undefined;
}

/** The first few of very many keys behind one, each once. */
class FirstKeys {
  readonly #after: string;
  readonly #maxKeys: number;
  readonly #found = new Map<ChunkKey, Place>();
  /** Keys from here on are not among the first. */
  #end: string | undefined;

  constructor(after: string, maxKeys: number) {
    this.#after = after;
    this.#maxKeys = maxKeys;
  }

  offer(place: Place): void {
    if (place.key <= this.#after || (this.#end !== undefined && place.key >= this.#end)) return;
    this.#found.set(place.key, place);
    // Sorted now and then, so that each key costs little.
    if (this.#found.size >= 2 * this.#maxKeys) this.#cut();
  }

  toSorted(): Place[] {
    this.#cut();
    return [...this.#found.values()].toSorted((a, b) => (a.key < b.key ? -1 : 1));
  }

  #cut(): void {
    if (this.#found.size <= this.#maxKeys) return;
    const keys = [...this.#found.keys()].toSorted();
    for (const key of keys.slice(this.#maxKeys)) this.#found.delete(key);
    this.#end = keys[this.#maxKeys];
  }
}
