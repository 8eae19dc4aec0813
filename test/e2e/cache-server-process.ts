import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

/** The real command in a process of its own. */
export class CacheServerProcess {
  readonly port: number;
  readonly httpUrl: string | undefined;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number, httpUrl: string | undefined) {
    this.#child = child;
    this.port = port;
    this.httpUrl = httpUrl;
  }

  /** @throws Error when it ends before it listens */
  static async start(...args: string[]): Promise<CacheServerProcess> {
    const child = spawnCommand(args);
    let port: number | undefined;
    let httpUrl: string | undefined;
    const wantsHttp = args.includes("--http-port");
    const log: string[] = [];
    for await (const line of createInterface({ input: child.stdout! })) {
      log.push(line);
      port ??= numberIn(/ Server started at \S+:(\d+)$/.exec(line)?.[1]);
      httpUrl ??= / Admin endpoints at (\S+)$/.exec(line)?.[1];
      if (port === undefined || (wantsHttp && httpUrl === undefined)) continue;
      child.stdout!.resume();
      return new CacheServerProcess(child, port, httpUrl);
    }
    throw new Error(`The server did not start:\n${log.join("\n")}`);
  }

  /** The most memory that it ever had, in bytes. Linux only. */
  get peakResidentBytes(): number {
    const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) * 1024;
  }

  /** @returns its exit code */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    if (this.#child.exitCode !== null) return this.#child.exitCode;
    const exited = once(this.#child, "exit");
    this.#child.kill(signal);
    const [code] = (await exited) as [number | null];
    return code;
  }
}

/** Runs the command to its end. */
export async function runToEnd(args: string[]): Promise<{ code: number | null; stderr: string }> {
  const child = spawnCommand(args);
  let stderr = "";
  child.stderr!.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  child.stdout!.resume();
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stderr };
}

function spawnCommand(args: string[]): ChildProcess {
  const isForeign = ([name]: [string, unknown]): boolean => !/^(LMCACHE|WARMKV)_/.test(name);
  return spawn(process.execPath, [script, "cache-server", ...args], {
    env: Object.fromEntries(Object.entries(process.env).filter(isForeign)),
    stdio: ["ignore", "pipe", "pipe"],
  });
}

function numberIn(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Number(text);
}
