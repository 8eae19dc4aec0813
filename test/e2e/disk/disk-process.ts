import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = fileURLToPath(new URL("disk-child.mjs", import.meta.url));
const dist = new URL("../../../dist/", import.meta.url).href;

export interface DiskReport {
  readonly numLoaded: number;
  /** Loaded with a checksum that tells that they are damaged. */
  readonly numTorn: number;
  /** Loaded with a right checksum and wrong bytes. */
  readonly numWrong: number;
  readonly numChunks: number;
  readonly usedBytes: number;
  readonly numStored: number;
  readonly numEvicted: number;
  readonly numDamaged: number;
}

export interface DiskProcessOptions {
  readonly verb: "store" | "verify" | "share";
  readonly directory: string;
  readonly maxSizeBytes: number;
  readonly seed?: number;
}

/** Another process with a disk tier. */
export class DiskProcess {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(options: DiskProcessOptions) {
    const { verb, directory, maxSizeBytes, seed = 0 } = options;
    const args = [program, dist, verb, directory, String(maxSizeBytes), String(seed)];
    this.#child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** Resolves when its tier is open. */
  async ready(): Promise<void> {
    await this.#line();
  }

  /** Resolves when it is done by itself. */
  async report(): Promise<DiskReport> {
    return JSON.parse(await this.#line()) as DiskReport;
  }

  async kill(): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`The process ended with ${this.#child.exitCode}`);
    return value;
  }
}

export interface DirectoryContent {
  readonly numChunks: number;
  readonly numTemporary: number;
  readonly totalBytes: number;
}

export async function contentOf(directory: string): Promise<DirectoryContent> {
  const names = await readdir(directory);
  const sizes = await Promise.all(
    names.map(async (name) => {
      try {
        return (await stat(path.join(directory, name))).size;
      } catch {
        // Renamed or removed meanwhile.
        return 0;
      }
    }),
  );
  return {
    numChunks: names.filter((name) => name.endsWith(".kv")).length,
    numTemporary: names.filter((name) => name.endsWith(".tmp")).length,
    totalBytes: sizes.reduce((sum, size) => sum + size, 0),
  };
}
