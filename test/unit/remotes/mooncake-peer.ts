import { createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { once } from "node:events";
import {
  CORO_RPC_REPLY_HEAD_BYTES,
  Connection,
  CoroRpcError,
  MOONCAKE_LAYOUTS,
  type MooncakeCall,
  type MooncakeLayout,
  MooncakeReplicaStatus,
  coroRpcFunctionId,
  isPacked,
  pack,
  unpack,
} from "../../../src/protocol/index.ts";
import {
  CORO_RPC_REQUEST_HEAD_BYTES,
  decodeCoroRpcRequestHead,
  encodeCoroRpcReplyHead,
} from "../../../src/protocol/coro-rpc.ts";
import {
  MOONCAKE_TRANSFER_HEAD_BYTES,
  decodeMooncakeTransfer,
  encodeMooncakeStatus,
} from "../../../src/protocol/mooncake-tcp.ts";
import type { ReadType, WriteType } from "../../../src/protocol/struct-pack.ts";
import { Peer } from "../protocol/peer.ts";

export interface MooncakePeerOptions {
  readonly layout?: MooncakeLayout;
  readonly segmentBytes?: number;
  readonly leaseMs?: number;
  /** What a segment's owner speaks: 2 acknowledges, 1 does not, "one-shot" closes behind each transfer besides. */
  readonly transfer?: 2 | 1 | "one-shot";
}

/** Where the lent memory begins, in the owner's eyes. */
const BASE_ADDRESS = 0x7f00_0000_0000n;
const HOST = "127.0.0.1";

interface StoredObject {
  readonly offset: number;
  readonly byteLength: number;
  isComplete: boolean;
}

/** Mooncake's three services in one: master, metadata server, and one owner of memory. For tests. */
export class MooncakePeer implements AsyncDisposable {
  readonly options: Required<MooncakePeerOptions>;
  readonly objects = new Map<string, StoredObject>();
  readonly memory: Buffer;
  readonly segment: string;
  readonly #ownerPort: number;
  layout: MooncakeLayout;
  /** What to do in place of serving: nothing, or to answer with something else. */
  beforeMaster: (call: string, socket: Connection) => Promise<void> = async () => {};
  beforeTransfer: (kind: "read" | "write", socket: Connection) => Promise<void> = async () => {};
  readonly #master: Peer;
  readonly #owner: Peer;
  readonly #metadata: ReturnType<typeof createServer>;

  private constructor(
    options: Required<MooncakePeerOptions>,
    sockets: { master: Peer; owner: Peer; metadata: ReturnType<typeof createServer> },
  ) {
    this.options = options;
    this.layout = options.layout;
    this.memory = Buffer.alloc(options.segmentBytes);
    this.#master = sockets.master;
    this.#owner = sockets.owner;
    this.#metadata = sockets.metadata;
    this.#ownerPort = this.#owner.port;
    this.segment = `${HOST}:${this.#ownerPort}`;
  }

  static async start(options: MooncakePeerOptions = {}): Promise<MooncakePeer> {
    let peer: MooncakePeer | undefined = undefined;
    const serve = (which: "master" | "owner") => (socket: Socket) => {
      const connection = Connection.accept(socket, 0);
      const loop =
        which === "master" ? peer!.#serveMaster(connection) : peer!.#serveOwner(connection);
      loop.catch(() => {}).finally(() => connection[Symbol.dispose]());
    };
    const metadata = createServer((request, response) => {
      const key = new URL(request.url!, "http://localhost").searchParams.get("key")!;
      const description = peer!.describe(key);
      response.writeHead(description === undefined ? 404 : 200);
      response.end(description && JSON.stringify(description));
    });
    await once(metadata.listen(0, HOST), "listening");
    peer = new MooncakePeer(
      {
        layout: MOONCAKE_LAYOUTS[0]!,
        segmentBytes: 64 * 1024 * 1024,
        leaseMs: 10_000,
        transfer: 2,
        ...options,
      },
      {
        master: await Peer.listen(serve("master")),
        owner: await Peer.listen(serve("owner")),
        metadata,
      },
    );
    return peer;
  }

  get url(): string {
    const { port } = this.#metadata.address() as AddressInfo;
    const metadata = encodeURIComponent(`http://${HOST}:${port}/metadata`);
    return `mooncakestore://${HOST}:${this.#master.port}/?metadata_server=${metadata}`;
  }
  describe = (key: string): Record<string, unknown> | undefined => {
    if (key === `mooncake/rpc_meta/${this.segment}`) return { ip_or_host_name: HOST, rpc_port: 1 };
    if (key !== `mooncake/ram/${this.segment}`) return undefined;
    return {
      name: this.segment,
      protocol: "tcp",
      tcp_data_port: this.#ownerPort,
      ...(this.options.transfer === 2 ? { tcp_proto_version: 2 } : {}),
      buffers: [],
    };
  };

  /** Ends connections, and takes no more where `isForGood`. */
  async breakOff(which: "master" | "owner", isForGood = false): Promise<void> {
    const peer = which === "master" ? this.#master : this.#owner;
    for (const socket of peer.sockets) socket.destroy();
    if (isForGood) await peer[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#master[Symbol.asyncDispose]();
    await this.#owner[Symbol.asyncDispose]();
    this.#metadata.closeAllConnections();
    await new Promise((resolve) => this.#metadata.close(resolve));
  }

  async #serveMaster(connection: Connection): Promise<void> {
    const head = Buffer.alloc(CORO_RPC_REQUEST_HEAD_BYTES);
    for (;;) {
      await connection.readInto(head);
      const { sequence, functionId, bodyBytes } = decodeCoroRpcRequestHead(head);
      const body = Buffer.alloc(bodyBytes);
      await connection.readInto(body);
      const [error, reply] = await this.#answer(functionId, body, connection);
      const replyHead = encodeCoroRpcReplyHead({ sequence, error, bodyBytes: reply.length });
      if (replyHead.length !== CORO_RPC_REPLY_HEAD_BYTES) throw new Error("Wrong head");
      await connection.write([replyHead, reply]);
    }
  }

  async #answer(id: number, body: Buffer, socket: Connection): Promise<[number, Buffer]> {
    const { layout } = this;
    for (const [name, handle] of Object.entries(this.#handlers)) {
      const call = layout[name as Exclude<keyof MooncakeLayout, "release">] as unknown as AnyCall;
      if (coroRpcFunctionId(`mooncake::WrappedMasterService::${call.name}`) !== id) continue;
      if (!isPacked(call.request, body)) return [CoroRpcError.invalidArguments, Buffer.alloc(0)];
      const args = unpack(call.request, body) as Arguments;
      if (args.key !== "") await this.beforeMaster(call.name, socket);
      return [CoroRpcError.none, pack(call.reply, handle(args))];
    }
    return [CoroRpcError.notRegistered, Buffer.alloc(0)];
  }

  readonly #handlers = {
    batchExist: ({ keys }: Arguments) =>
      keys.map((key) => done(this.objects.get(key)?.isComplete === true)),
    replicas: ({ key }: Arguments) => {
      const object = this.objects.get(key);
      if (object === undefined) return failed(-704);
      if (!object.isComplete) return failed(-703);
      const replicas = [this.#replica(object)];
      return done({ replicas, leaseMs: BigInt(this.options.leaseMs), checksum: undefined });
    },
    putStart: ({ key, sliceBytes }: Arguments) => {
      const byteLength = sliceBytes.reduce((sum, bytes) => sum + Number(bytes), 0);
      if (key === "" || byteLength === 0) return failed(-600);
      if (this.objects.has(key)) return failed(-705);
      const offset = this.#findRoom(byteLength);
      if (offset === undefined) return failed(-200);
      const object = { offset, byteLength, isComplete: false };
      this.objects.set(key, object);
      return done([this.#replica(object)]);
    },
    putEnd: (args: Arguments) => {
      const object = this.objects.get(args.object?.key ?? args.key!);
      if (object === undefined) return failed(-704);
      object.isComplete = true;
      return done(undefined);
    },
    putRevoke: ({ key }: Arguments) => (this.objects.delete(key) ? done(undefined) : failed(-704)),
    remove: ({ key }: Arguments) => (this.objects.delete(key) ? done(undefined) : failed(-704)),
  };

  #replica({ offset, byteLength, isComplete }: StoredObject): unknown {
    const buffer = {
      sizeBytes: BigInt(byteLength),
      address: BASE_ADDRESS + BigInt(offset),
      protocol: "tcp",
      segment: this.segment,
    };
    return {
      id: 1n,
      where: { kind: "memory", value: { buffers: [buffer] } },
      status: isComplete ? MooncakeReplicaStatus.complete : 2,
    };
  }

  #findRoom(byteLength: number): number | undefined {
    const taken = [...this.objects.values()].sort((a, b) => a.offset - b.offset);
    let offset = 0;
    for (const object of taken) {
      if (object.offset - offset >= byteLength) return offset;
      offset = object.offset + object.byteLength;
    }
    return this.memory.length - offset >= byteLength ? offset : undefined;
  }

  async #serveOwner(connection: Connection): Promise<void> {
    const head = Buffer.alloc(MOONCAKE_TRANSFER_HEAD_BYTES);
    do {
      await connection.readInto(head);
      const { kind, address, sizeBytes, hasStatus } = decodeMooncakeTransfer(head);
      await this.beforeTransfer(kind, connection);
      const start = Number(address - BASE_ADDRESS);
      const end = start + Number(sizeBytes);
      if (start < 0 || end > this.memory.length) {
        if (hasStatus) await connection.write([encodeMooncakeStatus("rejected")]);
        return;
      }
      const range = this.memory.subarray(start, end);
      const status = hasStatus ? [encodeMooncakeStatus("done")] : [];
      if (kind === "read") await connection.write([...status, range]);
      else {
        await connection.readInto(range);
        if (hasStatus) await connection.write(status);
      }
    } while (this.options.transfer !== "one-shot");
  }
}

type AnyCall = MooncakeCall<unknown, unknown> & {
  request: ReadType<unknown>;
  reply: WriteType<unknown>;
};

interface Arguments {
  readonly key: string;
  readonly keys: readonly string[];
  readonly sliceBytes: readonly bigint[];
  readonly object?: { readonly key: string };
}

function done<T>(value: T): { ok: true; value: T } {
  return { ok: true, value };
}

function failed(error: number): { ok: false; error: number } {
  return { ok: false, error };
}
