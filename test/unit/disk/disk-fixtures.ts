import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ChunkKey, Clock } from "../../../src/core/index.ts";
import type { MemoryPool } from "../../../src/memory/index.ts";
import { DiskTier, type DiskTierOptions } from "../../../src/tiers/disk/index.ts";
import { type FileSystem, nodeFileSystem } from "../../../src/tiers/disk/file-system.ts";
import { type Tier, createPolicy } from "../../../src/tiers/index.ts";
import {
  type ChunkSpec,
  isIntactChunk,
  makePool,
  SLAB_BYTES,
  storeChunks,
} from "../tiers/chunk-fixtures.ts";

/** What a chunk of the fixtures takes on disk. */
export const FILE_BYTES = SLAB_BYTES;

export class ManualClock implements Clock {
  #ms = 1_000_000;

  nowMs(): number {
    return this.#ms;
  }
  wallMs(): number {
    return Date.now() + this.#ms - 1_000_000;
  }
  advance(ms: number): void {
    this.#ms += ms;
  }
}

/** A directory, a pool and the tiers opened on them; all gone when disposed. */
export class DiskBench implements AsyncDisposable {
  readonly root: string;
  readonly directory: string;
  readonly pool: MemoryPool = makePool(256);
  readonly clock: ManualClock = new ManualClock();
  readonly #tiers: DiskTier[] = [];

  static async make(): Promise<DiskBench> {
    const bench = new DiskBench(await mkdtemp(path.join(tmpdir(), "warmkv-disk-")));
    await mkdir(bench.directory);
    return bench;
  }

  private constructor(root: string) {
    this.root = root;
    this.directory = path.join(root, "cache");
  }

  /** A tier with room for 64 chunks of the fixtures. */
  async open(overrides: Partial<DiskTierOptions> = {}): Promise<DiskTier> {
    const tier = await DiskTier.open({
      paths: [this.directory],
      maxSizeBytes: 64 * FILE_BYTES,
      pool: this.pool,
      policy: createPolicy("LRU"),
      modelName: "org/model",
      clock: this.clock,
      ...overrides,
    });
    this.#tiers.push(tier);
    return tier;
  }

  async put(tier: Tier, specs: readonly ChunkSpec[]): Promise<number> {
    const numStored = await storeChunks(tier, this.pool, specs);
    await tier.flush();
    return numStored;
  }

  names(): Promise<string[]> {
    return readdir(this.directory);
  }

  async fileOf(key: ChunkKey): Promise<string> {
    const name = (await this.names()).find((each) => each.includes(key));
    if (name === undefined) throw new Error(`There is no file of ${key}`);
    return path.join(this.directory, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const tier of this.#tiers) await tier[Symbol.asyncDispose]();
    await rm(this.root, { recursive: true, force: true });
    this.pool.assertAllFree();
  }
}

/** Bytes of all files in a directory. */
export async function directoryBytes(directory: string): Promise<number> {
  const sizes = (await readdir(directory)).map(async (name) => {
    try {
      return (await stat(path.join(directory, name))).size;
    } catch {
      return 0;
    }
  });
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}

/** Acquires and loads. @returns how many leading chunks came, each checked to the last byte */
export async function take(tier: Tier, keys: readonly ChunkKey[]): Promise<number> {
  using lease = await tier.acquire(keys);
  let num = 0;
  for await (using buffer of lease.load(0, new AbortController().signal)) {
    if (!isIntactChunk(buffer, keys[num]!)) throw new Error(`Wrong bytes for ${keys[num]}`);
    num++;
  }
  return num;
}

/** The real file system with some calls replaced. */
export function fileSystemWith(overrides: Partial<FileSystem>): FileSystem {
  return { ...nodeFileSystem, ...overrides };
}

export function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: made up`), { code });
}

/** Something that waits until it is told to go on. */
export class Gate {
  readonly opened: Promise<void>;
  open!: () => void;

  constructor() {
    this.opened = new Promise((resolve) => (this.open = resolve));
  }
}
