import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, existsSync } from "node:fs";
import { connect, createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

export const INSTALL_COMMAND =
  "apt-get install libibverbs1 && pip install mooncake-transfer-engine-non-cuda";

/** The environment that Mooncake was installed into by pip: WARMKV_TEST_MOONCAKE, or where PATH has its master. */
export function findMooncake(): Mooncake | undefined {
  const { WARMKV_TEST_MOONCAKE, PATH = "" } = process.env;
  const onPath = PATH.split(delimiter).find((folder) =>
    existsSync(join(folder, "mooncake_master")),
  );
  const binFolder = WARMKV_TEST_MOONCAKE ? join(WARMKV_TEST_MOONCAKE, "bin") : onPath;
  const host = Object.values(networkInterfaces())
    .flat()
    .find((address) => address?.family === "IPv4" && !address.internal)?.address;
  if (binFolder === undefined || host === undefined) return undefined;
  const python = join(binFolder, "python3");
  const find =
    "import importlib.util as u; print(u.find_spec('mooncake').submodule_search_locations[0])";
  const packageFolder = execFileSync(python, ["-c", find], { encoding: "utf8" }).trim();
  const master = join(packageFolder, "mooncake_master");
  accessSync(master);
  return { python, master, host };
}

export interface Mooncake {
  readonly python: string;
  readonly master: string;
  /** Mooncake refuses to lend memory on the loopback alone. */
  readonly host: string;
}

/** A master with its metadata server, and owners of memory. */
export class MooncakeCluster implements AsyncDisposable {
  readonly #mooncake: Mooncake;
  readonly #masterPort: number;
  readonly #metadataPort: number;
  readonly #adminPort: number;
  readonly #metadata: string;
  readonly #owners: MooncakeOwner[] = [];
  #master: ChildProcess | undefined;

  private constructor(mooncake: Mooncake, ports: readonly number[], isPeerToPeer: boolean) {
    this.#mooncake = mooncake;
    [this.#masterPort, this.#metadataPort, this.#adminPort] = ports as [number, number, number];
    this.#metadata = isPeerToPeer
      ? "P2PHANDSHAKE"
      : `http://127.0.0.1:${this.#metadataPort}/metadata`;
  }

  static async start(mooncake: Mooncake, { isPeerToPeer = false } = {}): Promise<MooncakeCluster> {
    const cluster = new MooncakeCluster(mooncake, await freePorts(3), isPeerToPeer);
    await cluster.startMaster();
    await cluster.addOwner();
    return cluster;
  }

  get url(): string {
    const metadata = encodeURIComponent(this.#metadata);
    return `mooncakestore://127.0.0.1:${this.#masterPort}/?metadata_server=${metadata}`;
  }

  async startMaster(): Promise<void> {
    this.#master = spawn(
      this.#mooncake.master,
      [
        `--rpc_port=${this.#masterPort}`,
        `--metrics_port=${this.#adminPort}`,
        "--enable_http_metadata_server=true",
        "--http_metadata_server_host=127.0.0.1",
        `--http_metadata_server_port=${this.#metadataPort}`,
      ],
      { stdio: "ignore" },
    );
    await waitForPort(this.#masterPort);
    await waitForPort(this.#metadataPort);
  }

  async stopMaster(): Promise<void> {
    await stop(this.#master);
  }

  async addOwner(): Promise<MooncakeOwner> {
    const { python, host } = this.#mooncake;
    const owner = await MooncakeOwner.start(python, [
      host,
      this.#metadata,
      `127.0.0.1:${this.#masterPort}`,
      String(256 * 1024 * 1024),
    ]);
    this.#owners.push(owner);
    return owner;
  }

  get owner(): MooncakeOwner {
    return this.#owners.at(-1)!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#owners.map((owner) => owner.stop()));
    await this.stopMaster();
  }
}

export class MooncakeOwner {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.process = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(python: string, args: readonly string[]): Promise<MooncakeOwner> {
    const script = join(dirname(fileURLToPath(import.meta.url)), "owner.py");
    const child = spawn(python, [script, ...args], { stdio: ["pipe", "pipe", "ignore"] });
    const owner = new MooncakeOwner(child);
    const line = await owner.#nextLine();
    if (line !== "ready") throw new Error(`Mooncake's client: ${line}`);
    return owner;
  }

  /** One line there, one line back. */
  async ask(line: string): Promise<string> {
    this.process.stdin!.write(`${line}\n`);
    return await this.#nextLine();
  }

  async stop(): Promise<void> {
    await stop(this.process);
  }

  /** Other things are printed too: what answers is a number, a word, or a hash. */
  async #nextLine(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error("Mooncake's client ended");
      if (/^(-?\d+|True|False|[0-9a-f]{64}|ready|setup failed.*)$/.test(value)) return value;
    }
  }
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      return server;
    }),
  );
  return servers.map((server) => {
    const { port } = server.address() as { port: number };
    server.close();
    return port;
  });
}

async function waitForPort(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    await delay(100);
  }
  throw new Error(`Nothing listens on port ${port}`);
}
