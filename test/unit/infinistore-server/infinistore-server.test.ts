import { once } from "node:events";
import { type Socket, connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { silentLogger } from "../../../src/core/index.ts";
import { InfinistoreServer, MemoryValueStorage } from "../../../src/infinistore-server/index.ts";
import { Connection, encodeInfinistoreRequest } from "../../../src/protocol/index.ts";
import { patternBytes } from "../protocol/peer.ts";

const MiB = 2 ** 20;

describe("InfinistoreServer", () => {
  let storage: MemoryValueStorage;
  let server: InfinistoreServer;
  let port: number;
  let client: Connection;

  beforeEach(async () => {
    storage = new MemoryValueStorage(16 * MiB);
    server = new InfinistoreServer({
      storage,
      logger: silentLogger,
      maxConnections: 20,
      idleMs: 5000,
      transferMs: 300,
    });
    port = (await server.listen(0, "127.0.0.1")).port;
    client = await open();
  });
  afterEach(async () => {
    client[Symbol.dispose]();
    await server[Symbol.asyncDispose]();
  });

  function open(): Promise<Connection> {
    const { signal } = new AbortController();
    return Connection.connect({ host: "127.0.0.1", port, timeoutMs: 2000, signal });
  }

  async function read(byteLength: number, from = client): Promise<Buffer> {
    const bytes = Buffer.alloc(byteLength);
    await from.readInto(bytes);
    return bytes;
  }

  async function put(key: string, value: Buffer, on = client): Promise<number> {
    const head = encodeInfinistoreRequest({ kind: "put", key, valueBytes: value.length });
    await on.write([head, value]);
    return (await read(4, on)).readInt32LE();
  }

  async function isThere(key: string, on = client): Promise<boolean> {
    await on.write([encodeInfinistoreRequest({ kind: "exist", key })]);
    const reply = await read(8, on);
    expect(reply.readInt32LE(0)).toBe(200);
    return reply.readInt32LE(4) === 0;
  }

  test("a transcript, to the byte", async () => {
    const value = Buffer.from("hello");
    await client.write([
      encodeInfinistoreRequest({ kind: "exist", key: "k" }),
      encodeInfinistoreRequest({ kind: "get", key: "k" }),
      encodeInfinistoreRequest({ kind: "put", key: "k", valueBytes: 5 }),
      value,
      encodeInfinistoreRequest({ kind: "exist", key: "k" }),
      encodeInfinistoreRequest({ kind: "get", key: "k" }),
      encodeInfinistoreRequest({ kind: "match", keys: ["k", "l", "k"] }),
      encodeInfinistoreRequest({ kind: "match", keys: ["l"] }),
      encodeInfinistoreRequest({ kind: "remove", keys: ["k", "l"] }),
    ]);
    expect((await read(8)).toString("hex")).toBe("c800000001000000");
    expect((await read(4)).toString("hex")).toBe("94010000");
    expect((await read(4)).toString("hex")).toBe("c8000000");
    expect((await read(8)).toString("hex")).toBe("c800000000000000");
    expect((await read(13)).toString("hex")).toBe("c800000005000000" + "68656c6c6f");
    expect((await read(8)).toString("hex")).toBe("c800000000000000");
    expect((await read(8)).toString("hex")).toBe("c8000000ffffffff");
    expect((await read(8)).toString("hex")).toBe("c800000001000000");
  });

  test("gets that are sent ahead are answered in turn, and nobody else waits", async () => {
    const value = patternBytes(2 * MiB);
    await put("a", value);
    const get = encodeInfinistoreRequest({ kind: "get", key: "a" });
    await client.write([get, get, get]);
    using other = await open();
    expect(await isThere("a", other)).toBe(true);
    for (let nth = 0; nth < 3; nth++) {
      expect((await read(8)).readUInt32LE(4)).toBe(value.length);
      expect((await read(value.length)).equals(value)).toBe(true);
    }
  });

  test("a value is not there while it is being put, and never if its client goes away", async () => {
    const head = encodeInfinistoreRequest({ kind: "put", key: "a", valueBytes: 1000 });
    await client.write([head, Buffer.alloc(999)]);
    using other = await open();
    await until(() => storage.usedBytes === 1000);
    expect(await isThere("a", other)).toBe(false);
    await other.write([encodeInfinistoreRequest({ kind: "get", key: "a" })]);
    expect((await read(4, other)).readInt32LE()).toBe(404);
    client[Symbol.dispose]();
    await until(() => storage.usedBytes === 0);
    expect(await isThere("a", other)).toBe(false);
  });

  test("without room a put is answered by 507, and the connection stays good", async () => {
    expect(await put("big", Buffer.alloc(17 * MiB))).toBe(507);
    expect(await put("small", Buffer.alloc(10))).toBe(200);
    expect(await isThere("small")).toBe(true);
  });

  test("a key that is put again has the later value", async () => {
    await put("a", Buffer.from("first"));
    await put("a", Buffer.from("later"));
    await client.write([encodeInfinistoreRequest({ kind: "get", key: "a" })]);
    expect((await read(13)).subarray(8).toString()).toBe("later");
    expect(storage.usedBytes).toBe(5);
  });

  test("operations and tables that nobody knows are answered by 400", async () => {
    const unknown = encodeInfinistoreRequest({ kind: "exist", key: "k" });
    unknown[4] = 0x41;
    const negative = encodeInfinistoreRequest({ kind: "put", key: "k", valueBytes: -5 });
    await client.write([unknown, negative]);
    expect((await read(8)).toString("hex")).toBe("9001000090010000");
    expect(await isThere("k")).toBe(false);
  });

  test("one byte at a time is as good as all at once", async () => {
    const request = Buffer.concat([
      encodeInfinistoreRequest({ kind: "put", key: "slow", valueBytes: 3 }),
      Buffer.from("abc"),
    ]);
    for (const byte of request) {
      await client.write([Buffer.of(byte)]);
      await delay(1);
    }
    expect((await read(4)).readInt32LE()).toBe(200);
  });

  test("a client that stops in the middle of a value is closed, and its room is free again", async () => {
    await client.write([
      encodeInfinistoreRequest({ kind: "put", key: "a", valueBytes: MiB }),
      Buffer.alloc(10),
    ]);
    await expect(read(1)).rejects.toMatchObject({ code: "unavailable" });
    await until(() => storage.usedBytes === 0);
  });

  test("garbage ends its own connection only", async () => {
    let seed = 1;
    for (let round = 0; round < 300; round++) {
      const socket = connect(port, "127.0.0.1");
      socket.on("error", () => {});
      const garbage = patternBytes(1 + (round % 60), seed++);
      // Half of it looks right at first.
      if (round % 2 === 0) {
        encodeInfinistoreRequest({ kind: "get", key: "k" }).subarray(0, 5).copy(garbage);
      }
      await closed(socket, garbage);
    }
    expect(await put("a", Buffer.alloc(10))).toBe(200);
    expect(await isThere("a")).toBe(true);
    await until(() => server.numConnections === 1);
  });

  test("connections beyond the bound are closed, the others are served", async () => {
    const many = await Promise.all(Array.from({ length: 25 }, open));
    await delay(50);
    expect(server.numConnections).toBe(20);
    expect(many.filter((each) => each.isBroken)).toHaveLength(6);
    expect(await isThere("a")).toBe(false);
    for (const each of many) each[Symbol.dispose]();
  });

  test("closing ends what is going on", async () => {
    await client.write([encodeInfinistoreRequest({ kind: "put", key: "a", valueBytes: MiB })]);
    await until(() => storage.usedBytes > 0);
    await server[Symbol.asyncDispose]();
    expect(storage.usedBytes).toBe(0);
    expect(server.numConnections).toBe(0);
  });
});

async function closed(socket: Socket, bytes: Buffer): Promise<void> {
  await once(socket, "connect");
  socket.end(bytes);
  socket.resume();
  if (!socket.closed) await once(socket, "close");
}

async function until(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 400 && !condition(); round++) await delay(5);
  expect(condition()).toBe(true);
}
