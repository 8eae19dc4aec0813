import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

/**
 * A temporary file of another machine or container is nobody's when nothing has happened to it for
 * this long: whether its process lives cannot be seen from here. To write a chunk takes seconds at most.
 */
const FOREIGN_STALE_AFTER_MS = 10 * 60_000;
const NAME_PATTERN = /^\.warmkv-(\d+)-(\d+)-([0-9a-f]{8})-([0-9a-f]{8})-\d+\.tmp$/;

/**
 * Names of files that are being written. They tell their owner: process id, its start time (ids are used
 * again), the machine or container in which the id means something, and a random part for the tier.
 */
export class TemporaryNames {
  readonly #owner: string;
  readonly #host: string = hostTag();
  readonly #inUse = new Set<string>();
  #numNames = 0;

  constructor() {
    const nonce = randomBytes(4).toString("hex");
    this.#owner = `.warmkv-${process.pid}-${startTimeOf(process.pid) ?? 0}-${this.#host}-${nonce}-`;
  }

  /** A name for one file, in use until it is released. */
  next(): string {
    const name = `${this.#owner}${this.#numNames++}.tmp`;
    this.#inUse.add(name);
    return name;
  }

  release(name: string): void {
    this.#inUse.delete(name);
  }

  isInUse(name: string): boolean {
    return this.#inUse.has(name);
  }

  /**
   * Whether nobody writes this file any more.
   *
   * @param ageMs time since it was last written to or renamed
   */
  isStale(name: string, ageMs: number): boolean {
    if (name.startsWith(this.#owner)) return !this.#inUse.has(name);
    const [, pid, startTime, host] = NAME_PATTERN.exec(name)!;
    if (host !== this.#host) return ageMs > FOREIGN_STALE_AFTER_MS;
    return !isAlive(Number(pid), startTime!);
  }
}

export function isTemporaryName(name: string): boolean {
  return NAME_PATTERN.test(name);
}

function isAlive(pid: number, startTime: string): boolean {
  const current = startTimeOf(pid);
  if (current !== undefined) return current === startTime;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Linux: clock ticks between the machine's start and the process's. */
function startTimeOf(pid: number): string | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name in parentheses, which may hold anything.
    return status.slice(status.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

function hostTag(): string {
  let namespace = "";
  try {
    namespace = readlinkSync("/proc/self/ns/pid");
  } catch {
    // No such thing as a container here.
  }
  return createHash("sha256").update(`${hostname()}\0${namespace}`).digest("hex").slice(0, 8);
}
