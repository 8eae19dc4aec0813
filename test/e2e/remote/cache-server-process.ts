import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));

/** `warmkv cache-server` in a process of its own. */
export class CacheServerProcess implements AsyncDisposable {
  readonly port: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** @param port 0: one that is free */
  static async start(port = 0): Promise<CacheServerProcess> {
    const args = ["cache-server", "127.0.0.1", String(port), "--max-local-cpu-size", "64MiB"];
    const child = spawn(process.execPath, [script, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    process.once("exit", () => child.kill("SIGKILL"));
    const address = await new Promise<string>((resolve, reject) => {
      child.once("exit", (code) => reject(new Error(`The cache server ended with ${code}`)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        const started = /Server started at \S+:(\d+)/.exec(line);
        if (started !== null) resolve(started[1]!);
      });
    });
    return new CacheServerProcess(child, Number(address));
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Without a word to its clients. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await ended;
  }
}
