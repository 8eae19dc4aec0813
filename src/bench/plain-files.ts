import fs from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { MemoryPool } from "../memory/index.ts";

const open = promisify(fs.open);
const read = promisify(fs.read);
const write = promisify(fs.write);
const close = promisify(fs.close);

export interface PlainFilesOptions {
  readonly directory: string;
  readonly useOdirect: boolean;
  /** Files at a time. */
  readonly concurrency: number;
}

/** Files written and read as plainly as Node can: the yardstick for the disk tier. */
export class PlainFiles {
  readonly #options: PlainFilesOptions;
  readonly #directFlag: number;

  constructor(options: PlainFilesOptions) {
    this.#options = options;
    this.#directFlag = options.useOdirect ? fs.constants.O_DIRECT : 0;
  }

  /** @param contents whole pages at page-aligned addresses */
  async writeAll(contents: readonly Uint8Array[]): Promise<void> {
    const flags = fs.constants.O_WRONLY | fs.constants.O_CREAT;
    await this.#forEach(contents.length, async (index) => {
      const file = await open(this.#pathOf(index), flags | this.#directFlag);
      await write(file, contents[index]!, 0, contents[index]!.byteLength, 0);
      await close(file);
    });
  }

  /** Reads each file into a slab of the pool, which goes home at once. */
  async readAll(numFiles: number, fileBytes: number, pool: MemoryPool): Promise<void> {
    await this.#forEach(numFiles, async (index) => {
      using buffer = pool.tryAllocate(fileBytes)!;
      const file = await open(this.#pathOf(index), fs.constants.O_RDONLY | this.#directFlag);
      await read(file, buffer.capacity, 0, fileBytes, 0);
      await close(file);
    });
  }

  async removeAll(numFiles: number): Promise<void> {
    await this.#forEach(numFiles, (index) => fs.promises.rm(this.#pathOf(index), { force: true }));
  }

  async #forEach(count: number, use: (index: number) => Promise<void>): Promise<void> {
    let next = 0;
    const work = async (): Promise<void> => {
      while (next < count) await use(next++);
    };
    await Promise.all(Array.from({ length: this.#options.concurrency }, work));
  }

  #pathOf(index: number): string {
    return join(this.#options.directory, `plain-${index}`);
  }
}
