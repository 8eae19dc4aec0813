import { afterEach, describe, expect, test } from "vitest";
import { KiB, MiB } from "../../../src/core/index.ts";
import { RawClient, TYPE, frame, putFrame } from "./raw-client.ts";
import { type ManualClock, TestServers, manualClock } from "./test-servers.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");
const FAIL = hex(`90010000 00000000 01000000 02000000 ${"00".repeat(20)}`);
const SUCCESS = hex(`c8000000 00000000 01000000 02000000 ${"00".repeat(20)}`);

describe("CacheServer", () => {
  const servers = new TestServers();
  afterEach(() => servers.close());

  /** Of values that were put before, on whatever connection: PUT has no reply. */
  async function settled(client: RawClient): Promise<void> {
    await client.ask(frame("health", "@@0@0@"));
  }

  test("answers the worked example of the protocol, byte for byte", async () => {
    const server = await servers.open();
    using client = await RawClient.connect(server.port);
    const key = Buffer.from("m@1@0@1f@bfloat16".padEnd(150));
    const payload = Buffer.from(Array.from({ length: 16 }, (_, index) => index));
    await client.send(
      Buffer.concat([
        hex("01000000 10000000 01000000 03000000 00000000 02000000 01000000 02000000 02000000"),
        key,
        payload,
      ]),
    );
    const ask = (command: string): Promise<void> =>
      client.send(
        Buffer.concat([hex(`${command}00000000 0100000002000000 ${"00".repeat(20)}`), key]),
      );
    await ask("02000000");
    expect(await client.read(36 + 16)).toEqual(
      Buffer.concat([
        hex("c8000000 10000000 01000000 03000000 02000000 01000000 02000000 02000000 00000000"),
        payload,
      ]),
    );
    await ask("03000000");
    expect(await client.read(36)).toEqual(SUCCESS);
    await ask("05000000");
    expect(await client.read(36)).toEqual(SUCCESS);
    key.write("n");
    await ask("03000000");
    expect(await client.read(36)).toEqual(FAIL);
    await ask("02000000");
    expect(await client.read(36)).toEqual(FAIL);
  });

  test.each(["current", "2025", "2024"] as const)(
    "answers the form of %s in kind",
    async (form) => {
      const server = await servers.open();
      using client = await RawClient.connect(server.port);
      await client.send(putFrame("m@1@0@a@half", Buffer.from("value"), form));
      const { head, body } = await client.ask(frame("get", "m@1@0@a@half", form), form);
      expect(body.toString()).toBe("value");
      if (form !== "2024") expect(head).toMatchObject(TYPE);
      expect((await client.ask(frame("exist", "m@1@0@b@half", form), form)).head.code).toBe(400);
      expect((await client.ask(frame("list", "", form), form)).body.toString()).toBe(
        "m@1@0@a@half",
      );
    },
  );

  test("takes frames in pieces of one byte, and many in one piece", async () => {
    const server = await servers.open();
    using client = await RawClient.connect(server.port);
    for (const byte of putFrame("slow", Buffer.from("drop by drop"))) {
      await client.send(Uint8Array.of(byte));
    }
    const wanted = Array.from({ length: 50 }, (_, index) => `${index}`.repeat(index));
    const puts = wanted.map((text, index) => putFrame(`k${index}`, Buffer.from(text)));
    const gets = wanted.map((_, index) => frame("get", `k${index}`));
    await client.send(Buffer.concat([frame("get", "slow"), ...puts, ...gets]));
    expect((await client.reply()).body.toString()).toBe("drop by drop");
    for (const text of wanted) expect((await client.reply()).body.toString()).toBe(text);
  });

  test("takes keys of 150 bytes and values of 0 bytes", async () => {
    const server = await servers.open();
    using client = await RawClient.connect(server.port);
    const key = "ключ".repeat(18) + "123456";
    expect(Buffer.byteLength(key)).toBe(150);
    await client.send(putFrame(key, Buffer.alloc(0)));
    const { head, body } = await client.ask(frame("get", key));
    expect(head).toMatchObject({ code: 200, byteLength: 0, ...TYPE });
    expect(body.byteLength).toBe(0);
    expect((await client.ask(frame("get", key.slice(0, -1)))).head.code).toBe(400);
  });

  test("the last value that was put under a name counts", async () => {
    const server = await servers.open();
    using client = await RawClient.connect(server.port);
    for (const text of ["first", "second", "second", "third and longer"]) {
      await client.send(putFrame("k", Buffer.from(text)));
      expect((await client.ask(frame("get", "k"))).body.toString()).toBe(text);
    }
  });

  test("stores nothing of a value whose body ends early", async () => {
    const server = await servers.open();
    {
      using client = await RawClient.connect(server.port);
      await client.send(putFrame("k", Buffer.alloc(100 * KiB)).subarray(0, 50 * KiB));
    }
    using other = await RawClient.connect(server.port);
    while (server.stats().numConnections > 1) await settled(other);
    expect((await other.ask(frame("exist", "k"))).head.code).toBe(400);
    expect(server.stats().pool).toMatchObject({ usedBytes: 0, incomingBytes: 0 });
  });

  test("drops a value that is too large, and goes on with the same client", async () => {
    const server = await servers.open({ maxLocalCpuSizeBytes: MiB });
    using client = await RawClient.connect(server.port);
    await client.send(putFrame("large", Buffer.from("the one before")));
    await client.send(putFrame("large", Buffer.alloc(2 * MiB)));
    await client.send(putFrame("small", Buffer.from("fits")));
    expect((await client.ask(frame("get", "small"))).body.toString()).toBe("fits");
    expect((await client.ask(frame("exist", "large"))).head.code).toBe(400);
    expect(server.stats().numDropped).toEqual({ too_large: 1, no_room: 0 });
  });

  test("evicts what was not used for longest, and never exceeds its bound", async () => {
    const server = await servers.open({ maxLocalCpuSizeBytes: MiB });
    using client = await RawClient.connect(server.port);
    for (let index = 0; index < 40; index++) {
      await client.send(putFrame(`k${index}`, Buffer.alloc(100 * KiB, index)));
      await client.ask(frame("get", "k0"));
    }
    const { pool, tiers } = server.stats();
    expect(pool.peakUsedBytes).toBeLessThanOrEqual(MiB);
    expect(tiers["LocalCPUBackend"]!.numEvicted).toBeGreaterThan(25);
    expect((await client.ask(frame("exist", "k0"))).head.code).toBe(200);
    expect((await client.ask(frame("exist", "k1"))).head.code).toBe(400);
    expect((await client.ask(frame("get", "k39"))).body.equals(Buffer.alloc(100 * KiB, 39))).toBe(
      true,
    );
  });

  test("closes the connection of who sends garbage, and no other", async () => {
    const server = await servers.open();
    using honest = await RawClient.connect(server.port);
    await honest.send(putFrame("k", Buffer.from("value")));
    for (const garbage of [
      Buffer.alloc(186, 0xff),
      Buffer.alloc(186),
      Buffer.from("GET / HTTP/1.1\r\n\r\n".repeat(20)),
    ]) {
      using client = await RawClient.connect(server.port);
      await client.send(garbage);
      await client.closed();
    }
    expect((await honest.ask(frame("get", "k"))).body.toString()).toBe("value");
    expect(server.stats().numCut.protocol).toBe(3);
  });

  describe("with a client that stops in the middle", () => {
    /** Moves the time until somebody is cut. */
    async function passTime(clock: ManualClock, isOver: () => boolean): Promise<void> {
      while (!isOver()) {
        clock.advance(1000);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }

    test("cuts it, and gives its memory back; idle ones stay", async () => {
      const clock = manualClock();
      const server = await servers.open({ stallTimeoutMs: 5, clock });
      using idle = await RawClient.connect(server.port);
      using inHead = await RawClient.connect(server.port);
      await inHead.send(frame("get", "k").subarray(0, 20));
      using inBody = await RawClient.connect(server.port);
      await inBody.send(putFrame("k", Buffer.alloc(10 * KiB)).subarray(0, 5 * KiB));
      await passTime(clock, () => server.stats().numConnections === 1);
      await Promise.all([inHead.closed(), inBody.closed()]);
      expect((await idle.ask(frame("exist", "k"))).head.code).toBe(400);
      expect(server.stats()).toMatchObject({ numConnections: 1, numCut: { stalled: 2 } });
      expect(server.stats().pool.usedBytes).toBe(0);
    });

    test("cuts one that does not take what it asked for", async () => {
      const clock = manualClock();
      const server = await servers.open({
        stallTimeoutMs: 5,
        clock,
        maxLocalCpuSizeBytes: 32 * MiB,
      });
      using client = await RawClient.connect(server.port);
      await client.send(putFrame("k", Buffer.alloc(20 * MiB)));
      await settled(client);
      client.socket.pause();
      await client.send(frame("get", "k"));
      await passTime(clock, () => server.stats().numConnections === 0);
      expect(server.stats().numCut.stalled).toBe(1);
    });

    test("does not blame it for a time in which the server itself stood still", async () => {
      const clock = manualClock();
      const server = await servers.open({ stallTimeoutMs: 5, clock });
      using client = await RawClient.connect(server.port);
      const value = putFrame("k", Buffer.alloc(10 * KiB, 1));
      await client.send(value.subarray(0, 5 * KiB));
      while (server.stats().pool.incomingBytes === 0) await settled(await servers.client(server));
      clock.advance(60_000);
      await new Promise((resolve) => setTimeout(resolve, 30));
      await client.send(value.subarray(5 * KiB));
      expect((await client.ask(frame("get", "k"))).body.byteLength).toBe(10 * KiB);
    });

    test("lets values wait for their turn while too much is coming in", async () => {
      const server = await servers.open({ maxLocalCpuSizeBytes: MiB });
      using slow = await RawClient.connect(server.port);
      const value = putFrame("slow", Buffer.alloc(400 * KiB, 1));
      await slow.send(value.subarray(0, 1000));
      while (server.stats().pool.incomingBytes === 0) await settled(await servers.client(server));
      using second = await RawClient.connect(server.port);
      await second.send(putFrame("second", Buffer.alloc(400 * KiB, 2)));
      await settled(await servers.client(server));
      expect(server.stats().pool.incomingBytes).toBeLessThan(500 * KiB);
      await slow.send(value.subarray(1000));
      await settled(second);
      for (const [name, fill] of [
        ["slow", 1],
        ["second", 2],
      ] as const) {
        expect(
          (await slow.ask(frame("get", name))).body.equals(Buffer.alloc(400 * KiB, fill)),
        ).toBe(true);
      }
    });
  });

  test("close() lets a frame under way end, and turns new clients away", async () => {
    const server = await servers.open();
    using idle = await RawClient.connect(server.port);
    using busy = await RawClient.connect(server.port);
    const value = putFrame("k", Buffer.alloc(100 * KiB));
    await busy.send(value.subarray(0, 5000));
    while (server.stats().pool.incomingBytes === 0) await settled(idle);
    const closing = server.close(60_000);
    await idle.closed();
    expect(server.isReady).toBe(false);
    await busy.send(value.subarray(5000));
    await closing;
    expect(server.stats()).toMatchObject({ receivedBytes: 100 * KiB, numConnections: 0 });
  });
});
