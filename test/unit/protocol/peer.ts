import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { Connection } from "../../../src/protocol/index.ts";

/** A server of a test's own on a free port of the loopback. */
export class Peer implements AsyncDisposable {
  readonly server: Server;
  readonly sockets = new Set<Socket>();
  numConnections = 0;

  private constructor(onConnection: (socket: Socket) => void) {
    this.server = createServer((socket) => {
      this.numConnections++;
      this.sockets.add(socket.on("close", () => this.sockets.delete(socket)).on("error", () => {}));
      onConnection(socket);
    });
  }

  static async listen(onConnection: (socket: Socket) => void, port = 0): Promise<Peer> {
    const peer = new Peer(onConnection);
    await once(peer.server.listen(port, "127.0.0.1"), "listening");
    return peer;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async connect(timeoutMs = 5000): Promise<Connection> {
    return await Connection.connect({
      host: "127.0.0.1",
      port: this.port,
      timeoutMs,
      signal: new AbortController().signal,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Bytes in which a shift, a gap or a swap shows: random ones over and over, each time with their place in front. */
export function patternBytes(byteLength: number, seed = 1): Buffer {
  const block = Buffer.allocUnsafe(Math.min(byteLength, BLOCK_BYTES));
  let state = seed >>> 0;
  for (let index = 0; index < block.byteLength; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    block[index] = state >>> 24;
  }
  const bytes = Buffer.allocUnsafe(byteLength);
  for (let start = 0; start < byteLength; start += BLOCK_BYTES) {
    block.copy(bytes, start);
    if (start > 0 && start + 4 <= byteLength) bytes.writeUInt32LE(start + seed, start);
  }
  return bytes;
}

const BLOCK_BYTES = 4096;
