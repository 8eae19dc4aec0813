import { readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { Sleep } from "./hub-fetch.ts";

export interface DownloadLockOptions {
  readonly signal?: AbortSignal | undefined;
  readonly sleep: Sleep;
  readonly wallMs: () => number;
  /** Called now and then while another process downloads. */
  readonly onWait: () => Promise<void>;
}

const REFRESH_MS = 2000;
const POLL_MS = 500;
/** Its owner is gone. Taking it too early costs nothing but the bytes: see downloadFile. */
const STALE_MS = 15_000;

/**
 * Waits until no other process downloads the same, then runs `work`. The lock is a file that its owner
 * touches: advice to save bytes, not what keeps files whole.
 */
export async function withDownloadLock(
  path: string,
  options: DownloadLockOptions,
  work: () => Promise<void>,
): Promise<void> {
  while (!(await take(path))) {
    options.signal?.throwIfAborted();
    const ageMs = options.wallMs() - (await touchedMs(path));
    if (ageMs > STALE_MS || (await isOfDeadProcess(path))) {
      await rm(path, { force: true });
      continue;
    }
    await options.onWait();
    await options.sleep(POLL_MS, options.signal);
  }
  const timer = setInterval(() => void touch(path), REFRESH_MS).unref();
  try {
    await work();
  } finally {
    clearInterval(timer);
    await rm(path, { force: true });
  }
}

async function take(path: string): Promise<boolean> {
  try {
    await writeFile(path, `${hostname()} ${process.pid}`, { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

/** Nobody waits for a process of this machine that was killed. */
async function isOfDeadProcess(path: string): Promise<boolean> {
  const [host, pid] = (await readFile(path, "utf8").catch(() => "")).split(" ");
  if (host !== hostname() || !(Number(pid) > 0)) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Infinitely long ago when it is gone by now: then the next try takes it. */
async function touchedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return Number.NEGATIVE_INFINITY;
  }
}

async function touch(path: string): Promise<void> {
  const now = new Date();
  await utimes(path, now, now).catch(() => {});
}
