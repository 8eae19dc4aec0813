import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** Redis' own program, as a second opinion on what its server can do. */
export interface RedisBenchmarkResult {
  readonly operation: "put" | "get";
  readonly valueBytes: number;
  readonly concurrency: number;
  readonly gibPerSecond: number;
}

const run = promisify(execFile);
const ADDRESS = /^(?:redis|valkey):\/\/(?:[^/?#]*@)?([^/?#:@,]+)(?::(\d+))?(?:[/?#]|$)/i;
const DEFAULT_PORT = "6379";

/**
 * @returns undefined where the address is no plain Redis, or the program is not there
 */
export async function runRedisBenchmark(
  url: string,
  valueBytes: number,
  concurrency: number,
  numValues: number,
  signal: AbortSignal,
): Promise<RedisBenchmarkResult[] | undefined> {
  const address = ADDRESS.exec(url);
  if (address === null) return undefined;
  const [, host = "", port = DEFAULT_PORT] = address;
  const counts = ["-c", `${concurrency}`, "-n", `${numValues}`, "-d", `${valueBytes}`];
  const args = ["-h", host, "-p", port, "-t", "set,get", "--csv", ...counts];
  let text: string;
  try {
    text = (await run("redis-benchmark", args, { signal })).stdout;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  return readRedisBenchmark(text).map(({ operation, perSecond }) => ({
    operation,
    valueBytes,
    concurrency,
    gibPerSecond: (perSecond * valueBytes) / 2 ** 30,
  }));
}

/** Reads its lines of `"SET","105.26",...`. */
export function readRedisBenchmark(
  csv: string,
): { readonly operation: "put" | "get"; readonly perSecond: number }[] {
  return Array.from(csv.matchAll(/^"(SET|GET)","([\d.]+)"/gm), ([, name, rate]) => ({
    operation: name === "SET" ? "put" : "get",
    perSecond: Number(rate),
  }));
}
