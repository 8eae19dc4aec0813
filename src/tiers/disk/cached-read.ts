import { koffi } from "../../native/index.ts";

/**
 * Reads what the kernel holds in its page cache and never waits for a disk: `openat2(RESOLVE_CACHED)` and
 * `preadv2(RWF_NOWAIT)`, Linux 5.12. Such a read is a copy in memory, faster than handing it to another
 * thread.
 */
export class CachedRead {
  readonly #calls: Calls;
  /** struct open_how: flags, mode, resolve. */
  readonly #how = new BigUint64Array([O_RDONLY | O_CLOEXEC, 0n, RESOLVE_CACHED]);
  /** struct iovec: address, length. */
  readonly #vector = new BigUint64Array(2);

  private constructor(calls: Calls) {
    this.#calls = calls;
  }

  /** @returns undefined where the kernel or the C library has no such calls */
  static open(): CachedRead | undefined {
    if (process.platform !== "linux" || !Object.hasOwn(SYS_OPENAT2, process.arch)) return undefined;
    try {
      const libc = koffi.load("libc.so.6");
      return new CachedRead({
        openat2: libc.func(
          "long syscall(long number, int directory, const char *path, void *how, size_t size)",
        ),
        preadv2: libc.func(
          "long preadv2(int file, void *vector, int count, int64_t offset, int flags)",
        ),
        close: libc.func("int close(int file)"),
      });
    } catch {
      return undefined;
    }
  }

  /**
   * @param path absolute
   * @param address room for `byteLength` bytes
   * @returns whether the file's first `byteLength` bytes are there now; when not, some of them may be
   */
  read(path: string, address: bigint, byteLength: number): boolean {
    const file = Number(
      this.#calls.openat2(
        SYS_OPENAT2[process.arch]!,
        AT_FDCWD,
        path,
        this.#how,
        this.#how.byteLength,
      ),
    );
    if (file < 0) return false;
    try {
      this.#vector[0] = address;
      this.#vector[1] = BigInt(byteLength);
      return Number(this.#calls.preadv2(file, this.#vector, 1, 0, RWF_NOWAIT)) === byteLength;
    } finally {
      this.#calls.close(file);
    }
  }
}

const O_RDONLY = 0n;
const O_CLOEXEC = 0o2000000n;
/** Fails with EAGAIN when the path would have to be looked up on the disk. */
const RESOLVE_CACHED = 0x20n;
/** Reads only what is in memory. */
const RWF_NOWAIT = 8;
const AT_FDCWD = -100;
/** The C library has no function for it. */
const SYS_OPENAT2: Readonly<Record<string, number>> = { x64: 437, arm64: 437, riscv64: 437 };

interface Calls {
  readonly openat2: (
    number: number,
    directory: number,
    path: string,
    how: BigUint64Array,
    byteLength: number,
  ) => number | bigint;
  readonly preadv2: (
    file: number,
    vector: BigUint64Array,
    count: number,
    offset: number,
    flags: number,
  ) => number | bigint;
  readonly close: (file: number) => number;
}
