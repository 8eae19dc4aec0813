import { koffi } from "../native/index.ts";
import { GiB, MiB, alignUp, formatBytes } from "../core/index.ts";
import type { PoolMemory } from "./pool-memory.ts";
import { PAGE_BYTES } from "./pool.ts";

const PROT_READ_WRITE = 1 | 2;
const MAP_PRIVATE = 2;
const MAP_ANONYMOUS = process.platform === "darwin" ? 0x1000 : 0x20;
/** Linux: reserve addresses only, so that a pool may be larger than what is free right now. */
const MAP_NORESERVE = process.platform === "linux" ? 0x4000 : 0;
/** Linux 5.14: fault pages in for writing without touching their content. */
const MADV_POPULATE_WRITE = 23;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Linux: pages of 2 MiB. Direct reads into the pool were 1.2 to 2.5 GB/s without them, 3 GB/s with them. */
const MADV_HUGEPAGE = 14;

/**
 * Views are cut from windows that overlap by half, so that each lies within one: the engine knows a few large
 * buffers instead of one for each chunk that comes and goes. Koffi makes none of more than 4 GiB.
 */
const WINDOW_BYTES = 4 * GiB;
const MAX_VIEW_BYTES = WINDOW_BYTES / 2;

/** Small enough that stopping in between is prompt, large enough that calls cost nothing. */
const PIN_STEP_BYTES = 64 * MiB;

/**
 * One anonymous mapping (POSIX), reserved at once, populated and locked in the background.
 *
 * @throws Error where the platform has no mmap or refuses the size
 */
export class MappedMemory implements PoolMemory {
  readonly byteLength: number;
  readonly address: bigint;
  readonly #libc = loadLibc();
  readonly #windows = new Map<number, ArrayBuffer>();
  #isUnmapped = false;
  #pinning: Promise<unknown> = Promise.resolve();

  constructor(byteLength: number) {
    this.byteLength = alignUp(byteLength, PAGE_BYTES);
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    const address = this.#libc.mmap(0n, this.byteLength, PROT_READ_WRITE, flags, -1, 0);
    if (address === null || BigInt.asUintN(64, address) === MAP_FAILED) {
      throw new Error(
        `Cannot map ${formatBytes(this.byteLength)} of memory for the pool: errno ${koffi.errno()}`,
      );
    }
    this.address = address;
    // A wish: a kernel that cannot do it says no, and nothing is lost.
    if (process.platform === "linux") this.#libc.madvise(address, this.byteLength, MADV_HUGEPAGE);
  }

  view(offset: number, byteLength: number): Uint8Array {
    if (byteLength > MAX_VIEW_BYTES) {
      throw new RangeError(
        `Cannot view ${byteLength} bytes at once: at most ${formatBytes(MAX_VIEW_BYTES)}`,
      );
    }
    const start = offset - (offset % MAX_VIEW_BYTES);
    let window = this.#windows.get(start);
    if (window === undefined) {
      const length = Math.min(WINDOW_BYTES, this.byteLength - start);
      window = koffi.view(this.address + BigInt(start), length) as ArrayBuffer;
      this.#windows.set(start, window);
    }
    return new Uint8Array(window, offset - start, byteLength);
  }

  pin(): Promise<string | undefined> {
    const pinning = this.#pinAll();
    this.#pinning = pinning;
    return pinning;
  }

  async #pinAll(): Promise<string | undefined> {
    let refused: string | undefined;
    for (let offset = 0; offset < this.byteLength && !this.#isUnmapped; offset += PIN_STEP_BYTES) {
      const start = this.address + BigInt(offset);
      const length = Math.min(PIN_STEP_BYTES, this.byteLength - offset);
      if (refused === undefined && (await this.#libc.mlock(start, length)) !== 0) {
        refused =
          `The system does not let this process lock ${formatBytes(this.byteLength)} of memory: ` +
          `the pool works but may be swapped out. Raise the limit with "ulimit -l" or LimitMEMLOCK`;
      }
      if (refused !== undefined) await this.#libc.populate(start, length);
    }
    return refused;
  }

  [Symbol.dispose](): void {
    if (this.#isUnmapped) return;
    this.#isUnmapped = true;
    this.#windows.clear();
    // The kernel may be in the middle of pinning: unmap behind it.
    void this.#pinning.then(() => this.#libc.munmap(this.address, this.byteLength));
  }
}

interface Libc {
  mmap(
    at: bigint,
    size: number,
    prot: number,
    flags: number,
    fd: number,
    offset: number,
  ): bigint | null;
  munmap(address: bigint, size: number): number;
  madvise(address: bigint, size: number, advice: number): number;
  /** Both run on koffi's threads. */
  mlock(address: bigint, size: number): Promise<number>;
  populate(address: bigint, size: number): Promise<number>;
}

let libc: Libc | undefined;

function loadLibc(): Libc {
  if (libc) return libc;
  if (process.platform === "win32") throw new Error("Windows has no mmap");
  const library = koffi.load(process.platform === "darwin" ? "libSystem.dylib" : "libc.so.6");
  const background = (signature: string): ((...args: unknown[]) => Promise<number>) => {
    const call = library.func(signature);
    return (...args) =>
      new Promise((resolve, reject) => {
        call.async(...args, (error: Error | null, result: number) =>
          error ? reject(error) : resolve(result),
        );
      });
  };
  const mlock = background("int mlock(void *address, size_t size)");
  const populate = background("int madvise(void *address, size_t size, int advice)");
  return (libc = {
    mmap: library.func("void *mmap(void *, size_t, int, int, int, int64_t)"),
    munmap: library.func("int munmap(void *address, size_t size)"),
    madvise: library.func("int madvise(void *address, size_t size, int advice)"),
    mlock,
    populate: (address, size) => populate(address, size, MADV_POPULATE_WRITE),
  });
}
