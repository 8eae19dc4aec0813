import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { Connection } from "../protocol/index.ts";
import { FLOOR_REPLY_BYTES, floorRequest } from "./tcp-floor-peer.ts";

const TIMEOUT_MS = 30_000;

/**
 * Bytes over the loopback's TCP to another Node process and nothing else: no names, no store. What that takes, any
 * remote takes at least.
 */
export class TcpFloor implements AsyncDisposable {
  readonly #connections: readonly Connection[];
  readonly #replies: readonly Buffer[];
  readonly #stop: () => Promise<void>;

  private constructor(connections: readonly Connection[], stop: () => Promise<void>) {
    this.#connections = connections;
    this.#replies = connections.map(() => Buffer.alloc(FLOOR_REPLY_BYTES));
    this.#stop = stop;
  }

  /** Starts the other process. */
  static async start(numLanes: number, signal: AbortSignal): Promise<TcpFloor> {
    const peer = new URL("./tcp-floor-peer.js", import.meta.url).href;
    const child = spawn(
      process.execPath,
      ["--input-type=module", "--eval", `(await import("${peer}")).runTcpFloorPeer()`],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    const stop = async (): Promise<void> => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill();
      await once(child, "exit");
    };
    try {
      return await TcpFloor.connect(await portOf(child, signal), numLanes, signal, stop);
    } catch (error) {
      await stop();
      throw error;
    }
  }

  /** @param stop ends the peer that listens at `port` */
  static async connect(
    port: number,
    numLanes: number,
    signal: AbortSignal,
    stop: () => Promise<void>,
  ): Promise<TcpFloor> {
    const options = { host: "127.0.0.1", port, timeoutMs: TIMEOUT_MS, signal };
    const lanes = Array.from({ length: numLanes }, () => Connection.connect(options));
    return new TcpFloor(await Promise.all(lanes), stop);
  }

  /** Sends a value and waits until the other process has it. */
  async put(lane: number, value: Uint8Array): Promise<void> {
    const connection = this.#connections[lane]!;
    await connection.write([floorRequest(value.byteLength, true), value]);
    await connection.readInto(this.#replies[lane]!);
  }

  async get(lane: number, target: Uint8Array): Promise<void> {
    const connection = this.#connections[lane]!;
    await connection.write([floorRequest(target.byteLength, false)]);
    await connection.readInto(this.#replies[lane]!);
    await connection.readInto(target);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections) connection[Symbol.dispose]();
    await this.#stop();
  }
}

async function portOf(child: ChildProcess, signal: AbortSignal): Promise<number> {
  const lines = createInterface({ input: child.stdout! });
  try {
    const [line] = (await once(lines, "line", { signal })) as [string];
    return Number(line);
  } finally {
    lines.close();
  }
}
