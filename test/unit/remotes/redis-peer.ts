import type { Socket } from "node:net";
import { silentLogger, systemClock } from "../../../src/core/index.ts";
import type { RemoteStore } from "../../../src/remotes/index.ts";
import { type RedisRemoteOptions, openRedisRemote } from "../../../src/remotes/redis/index.ts";
import { Peer } from "../protocol/peer.ts";

type Command = readonly [name: string, ...args: string[]];
/** What is sent as it is instead of the usual answer; undefined: the usual one. */
type Script = (command: Command, socket: Socket) => string | undefined;

/** As much of Redis as the remote speaks, in this process, with a script for what a real one rarely says. */
export class RedisPeer implements AsyncDisposable {
  /** latin1. */
  readonly values = new Map<string, string>();
  readonly received: Command[] = [];
  script: Script = () => undefined;
  readonly #peer: Peer;

  private constructor(peer: Peer) {
    this.#peer = peer;
  }

  static async listen(script?: Script): Promise<RedisPeer> {
    let redis: RedisPeer | undefined;
    const peer = await Peer.listen((socket) => {
      let unread = Buffer.alloc(0);
      socket.on("data", (chunk: Buffer) => {
        unread = Buffer.concat([unread, chunk]);
        for (let parsed = parseCommand(unread); parsed; parsed = parseCommand(unread)) {
          unread = unread.subarray(parsed.numBytes);
          redis!.#receive(parsed.command, socket);
        }
      });
    });
    redis = new RedisPeer(peer);
    if (script) redis.script = script;
    return redis;
  }

  get port(): number {
    return this.#peer.port;
  }
  get numConnections(): number {
    return this.#peer.numConnections;
  }

  open(
    url = `redis://127.0.0.1:${this.port}`,
    options: Partial<RedisRemoteOptions> = {},
  ): RemoteStore {
    return openRedisRemote(url, {
      timeoutMs: 10_000,
      maxConnections: 2,
      logger: silentLogger,
      clock: systemClock,
      random: () => 0,
      ...options,
    });
  }

  /** The names of the commands that came. */
  names(): string[] {
    return this.received.map(([name]) => name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#peer[Symbol.asyncDispose]();
  }

  #receive(command: Command, socket: Socket): void {
    this.received.push(command);
    const answer = this.script(command, socket) ?? this.#answer(command);
    if (socket.writable) socket.write(answer, "latin1");
  }

  #answer([name, ...args]: Command): string {
    const key = args[0] ?? "";
    switch (name) {
      case "EXISTS":
        return `:${args.filter((each) => this.values.has(each)).length}\r\n`;
      case "GET":
        return bulk(this.values.get(key));
      case "GETRANGE":
        return bulk(this.values.get(key)?.slice(Number(args[1]), Number(args[2]) + 1) ?? "");
      case "SET":
        this.values.set(key, args[1]!);
        return "+OK\r\n";
      case "UNLINK":
        return `:${args.filter((each) => this.values.delete(each)).length}\r\n`;
      case "PERSIST":
      case "EXPIRE":
        return `:${this.values.has(key) ? 1 : 0}\r\n`;
      default:
        return "+OK\r\n";
    }
  }
}

function bulk(value: string | undefined): string {
  return value === undefined ? "$-1\r\n" : `$${value.length}\r\n${value}\r\n`;
}

function parseCommand(bytes: Buffer): { command: Command; numBytes: number } | undefined {
  let at = 0;
  const readNumber = (): number | undefined => {
    const end = bytes.indexOf("\r\n", at);
    if (end === -1) return undefined;
    const number = Number(bytes.toString("latin1", at + 1, end));
    at = end + 2;
    return number;
  };
  const numArguments = readNumber();
  const command: string[] = [];
  while (numArguments !== undefined && command.length < numArguments) {
    const length = readNumber();
    if (length === undefined || bytes.byteLength < at + length + 2) return undefined;
    command.push(bytes.toString("latin1", at, at + length));
    at += length + 2;
  }
  if (numArguments === undefined) return undefined;
  const [name = "", ...args] = command;
  return { command: [name.toUpperCase(), ...args], numBytes: at };
}
