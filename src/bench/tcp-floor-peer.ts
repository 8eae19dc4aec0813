import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { MiB } from "../core/index.ts";
import { Connection, ConnectionError } from "../protocol/index.ts";

/** Whether the value comes or is wanted, and its length. */
export const FLOOR_REQUEST_BYTES = 8;
/** As long as a cache server's reply. */
export const FLOOR_REPLY_BYTES = 36;

export function floorRequest(byteLength: number, isPut: boolean): Buffer {
  const request = Buffer.alloc(FLOOR_REQUEST_BYTES);
  request.writeUInt32LE(isPut ? 1 : 0);
  request.writeUInt32LE(byteLength, 4);
  return request;
}

/**
 * Values lie one behind the other in so much memory, as in a store: one place used over and over would stay in the
 * processor's cache, where no store's values are.
 */
const MEMORY_BYTES = 256 * MiB;

/** Takes values and gives them. */
export async function listenTcpFloor(): Promise<Server> {
  const memory = Buffer.alloc(MEMORY_BYTES, 1);
  const server = createServer((socket) => {
    void serve(socket, memory).catch((error: unknown) => {
      if (!(error instanceof ConnectionError)) throw error;
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

/** A process of its own: says its port on a line and ends with its standard input. */
export async function runTcpFloorPeer(): Promise<void> {
  const server = await listenTcpFloor();
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
  await once(process.stdin.resume(), "end");
  process.exit();
}

async function serve(socket: Socket, shared: Buffer): Promise<void> {
  using connection = Connection.accept(socket, 0);
  const request = Buffer.alloc(FLOOR_REQUEST_BYTES);
  const reply = Buffer.alloc(FLOOR_REPLY_BYTES);
  let memory = shared;
  let offset = 0;
  for (;;) {
    await connection.readInto(request);
    const byteLength = request.readUInt32LE(4);
    if (byteLength > memory.byteLength) memory = Buffer.alloc(byteLength, 1);
    if (offset + byteLength > memory.byteLength) offset = 0;
    const value = memory.subarray(offset, (offset += byteLength));
    if (request.readUInt32LE() === 1) {
      await connection.readInto(value);
      await connection.write([reply]);
    } else {
      await connection.write([reply, value]);
    }
  }
}
