import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

export interface ServerProcessOptions {
  /** Behind `warmkv`: the subcommand and its flags. */
  readonly args: readonly string[];
  /** The whole environment. */
  readonly env: NodeJS.ProcessEnv;
  /** The JavaScript to run; the built command line by default. */
  readonly script?: string | undefined;
  readonly startTimeoutMs?: number | undefined;
  readonly stopTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Making a model of a billion parameters and loading it can take this long. */
const START_TIMEOUT_MS = 15 * 60_000;
const STOP_TIMEOUT_MS = 15_000;
const MAX_LOG_LINES = 2_000;

const LISTENING = /Listening on (https?:\/\/\S+)/;

/** The real command in a child process of its own, from its "Listening on" line to its end. */
export class ServerProcess implements AsyncDisposable {
  /** Without a path. */
  readonly url: string;
  readonly #child: ChildProcess;
  readonly #logLines: string[];
  readonly #stopTimeoutMs: number;
  readonly #killAtExit: () => void;

  private constructor(running: Running, url: string, stopTimeoutMs: number) {
    this.url = url;
    this.#child = running.child;
    this.#logLines = running.logLines;
    this.#killAtExit = running.killAtExit;
    this.#stopTimeoutMs = stopTimeoutMs;
  }

  /** @throws Error with the end of its log when the process ends or is silent for too long */
  static async start(options: ServerProcessOptions): Promise<ServerProcess> {
    const { signal, startTimeoutMs = START_TIMEOUT_MS, stopTimeoutMs = STOP_TIMEOUT_MS } = options;
    signal?.throwIfAborted();
    const running = run(options);
    let timer: NodeJS.Timeout | undefined;
    let onAbort: (() => void) | undefined;
    try {
      const url = await Promise.race([
        running.url,
        new Promise<never>((_, reject) => {
          const seconds = startTimeoutMs / 1000;
          const onTimeout = (): void => reject(failure(`did not start in ${seconds} s`, running));
          timer = setTimeout(onTimeout, startTimeoutMs);
          onAbort = () => reject(signal?.reason as Error);
          signal?.addEventListener("abort", onAbort, { once: true });
        }),
      ]);
      return new ServerProcess(running, url, stopTimeoutMs);
    } catch (error) {
      await end(running.child, stopTimeoutMs);
      process.off("exit", running.killAtExit);
      throw error;
    } finally {
      clearTimeout(timer);
      if (onAbort) signal?.removeEventListener("abort", onAbort);
    }
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** The last lines that it printed, without colours. */
  get logLines(): readonly string[] {
    return this.#logLines;
  }

  /** Asks it to end, and ends it after a while if it does not. */
  async stop(): Promise<void> {
    await end(this.#child, this.#stopTimeoutMs);
    process.off("exit", this.#killAtExit);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

interface Running {
  readonly child: ChildProcess;
  readonly logLines: string[];
  readonly url: Promise<string>;
  readonly killAtExit: () => void;
}

function run(options: ServerProcessOptions): Running {
  const script = options.script ?? fileURLToPath(new URL("../cli/main.js", import.meta.url));
  const child = spawn(process.execPath, [script, ...options.args], {
    env: options.env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  // No server outlives the benchmark, however that ends.
  const killAtExit = (): void => void child.kill("SIGKILL");
  process.once("exit", killAtExit);

  const logLines: string[] = [];
  const url = new Promise<string>((resolve, reject) => {
    for (const output of [child.stdout!, child.stderr!]) {
      createInterface({ input: output }).on("line", (line) => {
        const text = stripVTControlCharacters(line);
        if (logLines.push(text) > MAX_LOG_LINES) logLines.shift();
        const found = LISTENING.exec(text);
        if (found) resolve(found[1]!);
      });
    }
    child.once("error", reject);
    child.once("close", (code, killSignal) => {
      reject(failure(`ended with ${killSignal ?? `code ${code}`} before it listened`, running));
    });
  });
  const running: Running = { child, logLines, url, killAtExit };
  // Once it listens nobody waits for this any more.
  url.catch(() => {});
  return running;
}

async function end(child: ChildProcess, timeoutMs: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  await exited;
  clearTimeout(timer);
}

function failure(what: string, { logLines }: Running): Error {
  const end = logLines.slice(-15).join("\n  ");
  return new Error(`The server ${what}${end && `. Its log ended with:\n  ${end}`}`);
}
