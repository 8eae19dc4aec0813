import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import type { Flavour } from "./programs.ts";

export interface RedisServerOptions {
  readonly flavour: Flavour;
  /** As on the command line, without the leading dashes: { maxmemory: "64mb" }. */
  readonly settings?: Readonly<Record<string, string>>;
  readonly isSentinel?: boolean;
  /** On its port it speaks nothing else; the certificates are settings. */
  readonly isTls?: boolean;
  /** Who may do everything, if that needs a password. */
  readonly admin?: { readonly username?: string; readonly password: string };
  /** Lines of the configuration file, which a sentinel has to have. */
  readonly configuration?: string;
}

/** A real server on a free port, with a directory of its own and nothing kept on disk. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly busPort: number;
  readonly directory: string;
  readonly #options: RedisServerOptions;
  #process: ChildProcess | undefined;

  private constructor(ports: readonly number[], directory: string, options: RedisServerOptions) {
    this.port = ports[0]!;
    this.busPort = ports[1]!;
    this.directory = directory;
    this.#options = options;
  }

  static async start(options: RedisServerOptions): Promise<RedisServer> {
    const directory = await mkdtemp(join(tmpdir(), "warmkv-redis-"));
    const server = new RedisServer(await freePorts(2), directory, options);
    await server.start();
    return server;
  }

  /** All of them, or none. */
  static async startAll(each: readonly RedisServerOptions[]): Promise<RedisServer[]> {
    const starts = await Promise.allSettled(each.map((options) => RedisServer.start(options)));
    const failure = starts.find((start) => start.status === "rejected");
    const servers = starts.flatMap((start) => (start.status === "fulfilled" ? [start.value] : []));
    if (failure === undefined) return servers;
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    throw failure.reason;
  }

  get socketPath(): string {
    return join(this.directory, "redis.sock");
  }

  /** Also after `kill`, on the same port, empty. */
  async start(): Promise<void> {
    const { flavour, settings = {}, isSentinel, isTls, configuration } = this.#options;
    const file = join(this.directory, "redis.conf");
    const all = {
      bind: "127.0.0.1",
      port: isTls ? "0" : String(this.port),
      ...(isTls ? { "tls-port": String(this.port) } : {}),
      dir: this.directory,
      ...(isSentinel
        ? {}
        : { save: "", "cluster-port": String(this.busPort), unixsocket: this.socketPath }),
      ...settings,
    };
    const lines = Object.entries(all).map(
      ([key, value]) => `${key} ${value === "" ? '""' : value}`,
    );
    await writeFile(file, `${lines.join("\n")}\n${configuration ?? ""}\n`);
    const child = spawn(`${flavour}-server`, [file, ...(isSentinel ? ["--sentinel"] : [])], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#process = child;
    await isUp(child);
  }

  /** A command for set-up, past everything that is tested; beside TLS there is the Unix socket. */
  async call(command: string, ...args: (string | number)[]): Promise<unknown> {
    const client = new Redis({
      ...(this.#options.isSentinel
        ? { host: "127.0.0.1", port: this.port }
        : { path: this.socketPath }),
      ...this.#options.admin,
      protocol: 2,
      enableReadyCheck: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    client.on("error", () => {});
    try {
      return await client.call(command, ...args);
    } finally {
      client.disconnect();
    }
  }

  /** Its one replica has all that was written here. */
  async isCopied(): Promise<boolean> {
    const info = String(await this.call("INFO", "replication"));
    const written = /master_repl_offset:(\d+)/.exec(info)?.[1];
    return written !== undefined && /slave0:.*offset=(\d+)/.exec(info)?.[1] === written;
  }

  freeze(): void {
    this.#process!.kill("SIGSTOP");
  }
  thaw(): void {
    this.#process!.kill("SIGCONT");
  }

  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const isGone = once(child, "exit");
    child.kill("SIGKILL");
    await isGone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.directory, { recursive: true, force: true });
  }
}

function isUp(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = "";
    child.stdout!.on("data", (chunk) => {
      if (log.length > 100_000) return;
      log += String(chunk);
      if (/Ready to accept connections|Sentinel ID is/.test(log)) resolve();
    });
    child.once("error", reject);
    child.once("exit", () => reject(new Error(`The server did not start:\n${log}`)));
  });
}

/** Below those that the system gives to outgoing connections, and to servers that ask for any. */
const PORTS = { first: 20_000, num: 12_000 };
const given = new Set<number>();

/** Free now, and given to nobody else here. */
async function freePorts(numPorts: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < numPorts) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.num);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    return true;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Asks until the answer is yes: what servers agree upon among themselves takes its time. */
export async function eventually(
  what: string,
  isSo: () => Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const deadlineMs = performance.now() + timeoutMs;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`Waited in vain: ${what}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}
