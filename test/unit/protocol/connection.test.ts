import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type Socket, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Connection } from "../../../src/protocol/index.ts";
import { Peer, patternBytes } from "./peer.ts";

const MiB = 2 ** 20;
const never = new AbortController().signal;
const failed = (code: string) => expect.objectContaining({ name: "ConnectionError", code });

describe("Connection", () => {
  test("readInto() fills exactly what was asked for, from one write", async () => {
    await using peer = await Peer.listen((socket) => socket.write("headbodytail"));
    using connection = await peer.connect();
    const [head, body, tail] = [Buffer.alloc(4), Buffer.alloc(6, "-"), Buffer.alloc(4)];
    await connection.readInto(head);
    await connection.readInto(body.subarray(1, 5));
    await connection.readInto(tail);
    expect([head, body, tail].map(String)).toEqual(["head", "-body-", "tail"]);
  });

  test("readInto() of nothing resolves at once", async () => {
    await using peer = await Peer.listen(() => {});
    using connection = await peer.connect();
    await connection.readInto(new Uint8Array(0));
  });

  test("a large body between two lines arrives byte for byte and touches nothing beside its memory", async () => {
    const body = patternBytes(9 * MiB + 5);
    await using peer = await Peer.listen((socket) => {
      socket.write("$begin\r\n");
      socket.write(body);
      socket.write("\r\n+end\r\n");
    });
    using connection = await peer.connect();
    const memory = Buffer.alloc(body.byteLength + 2, 7);
    expect(await connection.readLine(64)).toBe("$begin");
    await connection.readInto(memory.subarray(1, -1));
    expect(await connection.readLine(64)).toBe("");
    expect(await connection.readLine(64)).toBe("+end");
    expect(memory.subarray(1, -1).equals(body)).toBe(true);
    expect([memory[0], memory.at(-1)]).toEqual([7, 7]);
  });

  test("however bytes are cut on their way, reads give the same", async () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 9000 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(sizes, sizes, fc.nat(), async (reads, cuts, seed) => {
        const bytes = patternBytes(
          reads.reduce((sum, size) => sum + size, 0),
          seed,
        );
        await using peer = await Peer.listen((socket) => void writeCut(socket, bytes, cuts));
        using connection = await peer.connect();
        let offset = 0;
        for (const size of reads) {
          const target = Buffer.alloc(size);
          await connection.readInto(target);
          expect(target.equals(bytes.subarray(offset, (offset += size)))).toBe(true);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("lines and bodies come out right one byte at a time", async () => {
    const sent = Buffer.from("+one\r\n$4\r\n\r\n\r\n\r\n+two\r\n");
    await using peer = await Peer.listen((socket) => void writeCut(socket, sent, [1]));
    using connection = await peer.connect();
    const body = Buffer.alloc(4);
    expect(await connection.readLine(16)).toBe("+one");
    expect(await connection.readLine(16)).toBe("$4");
    await connection.readInto(body);
    expect(String(body)).toBe("\r\n\r\n");
    expect(await connection.readLine(16)).toBe("");
    expect(await connection.readLine(16)).toBe("+two");
  });

  test("a line may be as long as maxBytes and no longer", async () => {
    await using peer = await Peer.listen((socket) => socket.write("12345678\r\n123456789\r\n"));
    using connection = await peer.connect();
    expect(await connection.readLine(8)).toBe("12345678");
    await expect(connection.readLine(8)).rejects.toEqual(failed("protocol"));
    expect(connection.isBroken).toBe(true);
  });

  test("a line that never ends is refused before it fills memory", async () => {
    await using peer = await Peer.listen((socket) => socket.write(Buffer.alloc(MiB, "x")));
    using connection = await peer.connect();
    await expect(connection.readLine(64)).rejects.toEqual(failed("protocol"));
  });

  test("a bare line feed is no end of a line", async () => {
    await using peer = await Peer.listen((socket) => socket.write("a\nb\r\n"));
    using connection = await peer.connect();
    await expect(connection.readLine(64)).rejects.toEqual(failed("protocol"));
  });

  test("write() sends its parts as one and in order, empty ones too", async () => {
    const parts = [Buffer.from("a"), new Uint8Array(0), patternBytes(5 * MiB), Buffer.from("z")];
    const whole = Buffer.concat(parts);
    await using peer = await Peer.listen((socket) => socket.pipe(socket));
    using connection = await peer.connect();
    const echo = Buffer.alloc(whole.byteLength);
    await Promise.all([connection.write(parts), connection.readInto(echo)]);
    await connection.write([]);
    expect(echo.equals(whole)).toBe(true);
  });

  test("once write() has resolved its parts may be changed", async () => {
    await using peer = await Peer.listen((socket) => socket.pipe(socket));
    using connection = await peer.connect();
    const part = Buffer.alloc(2 * MiB, "a");
    const echo = Buffer.alloc(part.byteLength);
    const reading = connection.readInto(echo);
    await connection.write([part]);
    part.fill("b");
    await reading;
    expect(echo.every((byte) => byte === 97)).toBe(true);
  });

  test("bytes that nobody reads stop the sender", async () => {
    let numSent = 0;
    await using peer = await Peer.listen((socket) => {
      const chunk = Buffer.alloc(MiB);
      const send = (): void => {
        while (numSent < 256 * MiB && socket.write(chunk)) numSent += MiB;
        if (numSent < 256 * MiB) socket.once("drain", () => ((numSent += MiB), send()));
      };
      send();
    });
    using connection = await peer.connect();
    let before = -1;
    while (before < numSent || numSent === 0) {
      before = numSent;
      for (let turn = 0; turn < 200; turn++) await setImmediate();
    }
    expect(numSent).toBeLessThan(64 * MiB);
    expect(connection.numUnreadBytes).toBeLessThanOrEqual(64 * 1024);
    const target = Buffer.alloc(MiB);
    for (let read = 0; read < 100; read++) await connection.readInto(target);
    expect(numSent).toBeGreaterThan(64 * MiB);
  });

  test("the peer's end rejects the pending read and every later call", async () => {
    await using peer = await Peer.listen((socket) => socket.end("half"));
    using connection = await peer.connect();
    await expect(connection.readInto(Buffer.alloc(8))).rejects.toEqual(failed("unavailable"));
    expect(connection.isBroken).toBe(true);
    await expect(connection.readInto(Buffer.alloc(1))).rejects.toEqual(failed("unavailable"));
    await expect(connection.readLine(8)).rejects.toEqual(failed("unavailable"));
    await expect(connection.write([Buffer.from("x")])).rejects.toEqual(failed("unavailable"));
  });

  test("a reset rejects the pending read and the pending write", async () => {
    let accepted: Socket | undefined;
    await using peer = await Peer.listen((socket) => (accepted = socket.pause()));
    using connection = await peer.connect();
    const pending = [
      connection.readInto(Buffer.alloc(8)),
      connection.write([Buffer.alloc(64 * MiB)]),
    ];
    await expect.poll(() => accepted).toBeDefined();
    accepted!.resetAndDestroy();
    for (const { status } of await Promise.allSettled(pending)) expect(status).toBe("rejected");
    expect(connection.isBroken).toBe(true);
  });

  test("an idle connection notices that its peer has gone", async () => {
    let accepted: Socket | undefined;
    await using peer = await Peer.listen((socket) => (accepted = socket));
    using connection = await peer.connect();
    await expect.poll(() => accepted).toBeDefined();
    expect(connection.isBroken).toBe(false);
    accepted!.end();
    await expect.poll(() => connection.isBroken).toBe(true);
  });

  test("a silent peer ends a read after timeoutMs, an idle connection lives on", async () => {
    await using peer = await Peer.listen((socket) => {
      socket.once("data", () => socket.write("pong"));
    });
    using connection = await peer.connect(40);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(connection.isBroken).toBe(false);
    await connection.write([Buffer.from("ping")]);
    await connection.readInto(Buffer.alloc(4));
    await expect(connection.readInto(Buffer.alloc(4))).rejects.toEqual(failed("timeout"));
  });

  test("disposing rejects what is pending and leaves no socket", async () => {
    await using peer = await Peer.listen(() => {});
    const connection = await peer.connect();
    const reading = connection.readInto(Buffer.alloc(8));
    connection[Symbol.dispose]();
    connection[Symbol.dispose]();
    await expect(reading).rejects.toEqual(failed("closed"));
    await expect(connection.write([Buffer.from("x")])).rejects.toEqual(failed("closed"));
    await expect.poll(() => peer.sockets.size).toBe(0);
  });

  test("connect() rejects where nobody listens, at an abort, and for an unknown host", async () => {
    const peer = await Peer.listen(() => {});
    const { port } = peer;
    await peer[Symbol.asyncDispose]();
    const options = { host: "127.0.0.1", port, timeoutMs: 5000, signal: never };
    await expect(Connection.connect(options)).rejects.toEqual(failed("unavailable"));
    await expect(Connection.connect({ ...options, host: "nowhere.invalid" })).rejects.toEqual(
      failed("unavailable"),
    );
    const reason = new Error("enough");
    const aborted = Connection.connect({ ...options, signal: AbortSignal.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
    const abort = new AbortController();
    const pending = Connection.connect({ ...options, host: "10.255.255.1", signal: abort.signal });
    abort.abort(reason);
    await expect(pending).rejects.toBe(reason);
  });

  test("connects to a unix socket", async () => {
    const directory = await mkdtemp(join(tmpdir(), "warmkv-connection-"));
    const path = join(directory, "socket");
    const server = createServer((socket) => void socket.end("hello"));
    try {
      await once(server.listen(path), "listening");
      using connection = await Connection.connect({ path, timeoutMs: 5000, signal: never });
      const target = Buffer.alloc(5);
      await connection.readInto(target);
      expect(String(target)).toBe("hello");
    } finally {
      server.close();
      await rm(directory, { recursive: true });
    }
  });

  test("accept() serves a connection the same way and leaves the server's count right", async () => {
    const body = patternBytes(5 * MiB);
    await using peer = await Peer.listen((socket) => {
      const connection = Connection.accept(socket, 0);
      void (async () => {
        using _ = connection;
        const received = Buffer.alloc(body.byteLength);
        await connection.readInto(received.subarray(0, 3));
        await connection.readInto(received.subarray(3));
        await connection.write([received]);
        await connection.readLine(8);
      })().catch(() => {});
    });
    {
      using client = await peer.connect();
      const echo = Buffer.alloc(body.byteLength);
      await Promise.all([client.write([body]), client.readInto(echo)]);
      expect(echo.equals(body)).toBe(true);
    }
    const count = (): Promise<number> =>
      new Promise((resolve) => peer.server.getConnections((_, number) => resolve(number)));
    await expect.poll(count).toBe(0);
  });
});

/** Writes `bytes` in pieces of these sizes, over and over, each of them a packet of its own. */
async function writeCut(socket: Socket, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  socket.setNoDelay(true);
  const sizes = cuts.filter((size) => size > 0);
  for (let offset = 0, turn = 0; offset < bytes.byteLength && !socket.destroyed; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.byteLength;
    socket.write(bytes.subarray(offset, (offset += size)));
    await setImmediate();
  }
}
