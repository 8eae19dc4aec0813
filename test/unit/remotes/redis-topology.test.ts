import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { ConnectionError } from "../../../src/protocol/index.ts";
import type { RemoteCall } from "../../../src/remotes/index.ts";
import { hashSlot } from "../../../src/remotes/redis/hash-slot.ts";
import { headKey } from "../../../src/remotes/redis/layout.ts";
import { AskedTopology, type SlotMap } from "../../../src/remotes/redis/topology.ts";
import { RedisPeer } from "./redis-peer.ts";

const never = new AbortController().signal;
const call: RemoteCall = { signal: never, priority: "get" };
const value = Buffer.from("value");
const slot = hashSlot(headKey("v"));

/** A clock that a test turns. */
function stoppedClock(): { nowMs(): number; wallMs(): number; ms: number } {
  return {
    ms: 0,
    nowMs() {
      return this.ms;
    },
    wallMs: () => 0,
  };
}

function mapTo(port: number): SlotMap {
  return () => ({ host: "h", port });
}

describe("AskedTopology", () => {
  test("asks once for all who wait, and again when told to or after a while", async () => {
    const clock = stoppedClock();
    let numAsked = 0;
    using topology = new AskedTopology(async () => mapTo(++numAsked), clock);
    const [first, second] = await Promise.all([topology.slotMap(never), topology.slotMap(never)]);
    expect([first, second].map((map) => map(0))).toEqual(Array(2).fill({ host: "h", port: 1 }));
    await topology.refresh();
    expect((await topology.slotMap(never))(0)).toEqual({ host: "h", port: 2 });
    clock.ms = 40_000;
    await topology.slotMap(never);
    await topology.refresh();
    expect(numAsked).toBe(3);
  });

  test("goes on with what it knew when nobody answers", async () => {
    let isAway = false;
    const ask = async (): Promise<SlotMap> => {
      if (isAway) throw new ConnectionError("unavailable", "away");
      return mapTo(1);
    };
    using topology = new AskedTopology(ask, stoppedClock());
    await topology.refresh();
    isAway = true;
    await topology.refresh();
    expect((await topology.slotMap(never))(0)).toEqual({ host: "h", port: 1 });
  });

  test("rejects as the servers did when it knows nothing, until they answer", async () => {
    let failure: Error | undefined = new ConnectionError("unauthorized", "no");
    const ask = async (): Promise<SlotMap> => {
      if (failure) throw failure;
      return mapTo(1);
    };
    using topology = new AskedTopology(ask, stoppedClock());
    await expect(topology.slotMap(never)).rejects.toBe(failure);
    failure = undefined;
    expect((await topology.slotMap(never))(0)).toEqual({ host: "h", port: 1 });
  });

  test("does not keep a caller beyond its signal", async () => {
    using topology = new AskedTopology(() => new Promise(() => {}), stoppedClock());
    const signal = AbortSignal.timeout(10);
    await expect(topology.slotMap(signal)).rejects.toThrow("timeout");
  });
});

/** As CLUSTER SLOTS has it. */
function slotsReply(
  ...ranges: readonly [first: number, last: number, host: string, port: number][]
): string {
  const items = ranges.map(([first, last, host, port]) => {
    const name = host === "" ? "$-1\r\n" : `$${host.length}\r\n${host}\r\n`;
    return `*3\r\n:${first}\r\n:${last}\r\n*3\r\n${name}:${port}\r\n$2\r\nid\r\n`;
  });
  return `*${items.length}\r\n${items.join("")}`;
}

describe("RedisRemote in a cluster", () => {
  test("follows a slot that was moved, at once and for good", async () => {
    await using next = await RedisPeer.listen();
    await using first = await RedisPeer.listen();
    let owner = first.port;
    first.script = ([name]) => {
      if (name === "CLUSTER") return slotsReply([0, 16383, "127.0.0.1", owner]);
      return owner === first.port ? undefined : `-MOVED ${slot} 127.0.0.1:${owner}\r\n`;
    };
    next.script = ([name]) =>
      name === "CLUSTER" ? first.script(["CLUSTER"], null as never) : undefined;
    await using store = first.open(`redis-cluster://127.0.0.1:${first.port}`);
    expect(await store.put("v", value, call)).toBe(true);
    owner = next.port;
    expect(await store.put("v", value, call)).toBe(true);
    expect(next.values.size).toBe(1);
    await expect
      .poll(async () => {
        first.received.length = 0;
        const numFound = await store.lookup(["v"], call);
        return numFound === 1 && !first.names().includes("EXISTS");
      })
      .toBe(true);
  });

  test("asks a server that is about to have a slot, and says so with each command", async () => {
    await using next = await RedisPeer.listen();
    await using first = await RedisPeer.listen();
    first.script = ([name]) =>
      name === "CLUSTER"
        ? slotsReply([0, 16383, "127.0.0.1", first.port])
        : `-ASK ${slot} 127.0.0.1:${next.port}\r\n`;
    await using store = first.open(`redis-cluster://127.0.0.1:${first.port}`);
    expect(await store.put("v", value, call)).toBe(true);
    expect(await store.lookup(["v"], call)).toBe(1);
    expect(next.names()).toEqual(["ASKING", "EXISTS", "ASKING", "SET", "ASKING", "EXISTS"]);
    expect(await store.remove(["v"], call)).toBe(1);
  });

  test.each([
    ["redis-cluster://a/1", {}],
    ["redis-cluster://a", { database: 1 }],
  ])("has no database but 0 (%s %j)", async (url, options) => {
    await using redis = await RedisPeer.listen();
    expect(() => redis.open(url, options)).toThrow("a cluster has 0 only");
  });

  test("gives up on servers that send it round in circles", async () => {
    await using redis = await RedisPeer.listen();
    redis.script = ([name]) =>
      name === "CLUSTER"
        ? slotsReply([0, 16383, "127.0.0.1", redis.port])
        : `-MOVED ${slot} 127.0.0.1:${redis.port}\r\n`;
    await using store = redis.open(`redis-cluster://127.0.0.1:${redis.port}`);
    await expect(store.lookup(["v"], call)).rejects.toMatchObject({ code: "unavailable" });
    expect(redis.names().filter((name) => name === "EXISTS").length).toBeLessThan(10);
  });

  test("takes a server without a name for the one it asked", async () => {
    await using redis = await RedisPeer.listen();
    redis.script = ([name]) =>
      name === "CLUSTER" ? slotsReply([0, 16383, "", redis.port]) : undefined;
    await using store = redis.open(`redis-cluster://127.0.0.1:${redis.port}`);
    expect(await store.put("v", value, call)).toBe(true);
  });

  test.each([
    ["no slots at all", slotsReply()],
    ["not this slot", slotsReply([slot + 1, slot + 1, "127.0.0.1", 1])],
    ["clusters switched off", "-ERR This instance has cluster support disabled\r\n"],
  ])("rejects when the cluster has %s", async (_, reply) => {
    await using redis = await RedisPeer.listen(([name]) =>
      name === "CLUSTER" ? reply : undefined,
    );
    await using store = redis.open(`redis-cluster://127.0.0.1:${redis.port}`);
    await expect(store.lookup(["v"], call)).rejects.toMatchObject({ name: "TierError" });
  });

  test("one that says nothing does not hold up the others", async () => {
    await using silent = await RedisPeer.listen(() => "");
    await using redis = await RedisPeer.listen();
    redis.script = ([name]) =>
      name === "CLUSTER" ? slotsReply([0, 16383, "127.0.0.1", redis.port]) : undefined;
    const nodes = `127.0.0.1:${silent.port},127.0.0.1:1,127.0.0.1:${redis.port}`;
    await using store = redis.open(`redis-cluster://${nodes}`);
    const signal = AbortSignal.timeout(1000);
    expect(await store.put("v", value, { ...call, signal })).toBe(true);
  });

  test("a refused password is in no message", async () => {
    await using redis = await RedisPeer.listen(([name]) =>
      name === "AUTH"
        ? "-ERR unknown command 'AUTH', with args beginning with: 's3cret'\r\n"
        : undefined,
    );
    await using store = redis.open(`redis-cluster://:s3cret@127.0.0.1:${redis.port}`);
    const failure = await store.lookup(["v"], call).catch((error: unknown) => error as Error);
    expect(failure).toMatchObject({ name: "TierError", code: "unauthorized" });
    expect(inspect(failure, { depth: 9 })).not.toContain("s3cret");
  });
});

describe("RedisRemote behind sentinels", () => {
  const answer = (port: number): string =>
    `*2\r\n$9\r\n127.0.0.1\r\n$${String(port).length}\r\n${port}\r\n`;

  test("finds the new master when the old one turns out to be a replica", async () => {
    await using old = await RedisPeer.listen();
    await using master = await RedisPeer.listen();
    let current = old.port;
    await using sentinel = await RedisPeer.listen(([name]) =>
      name === "SENTINEL" ? answer(current) : undefined,
    );
    await using store = sentinel.open(`redis-sentinel://127.0.0.1:${sentinel.port}`);
    expect(await store.put("v", value, call)).toBe(true);
    expect(sentinel.received.at(-1)).toEqual([
      "SENTINEL",
      "GET-MASTER-ADDR-BY-NAME",
      "redismaster",
    ]);
    old.script = ([name]) =>
      name === "SET" || name === "UNLINK" ? "-READONLY You can't write\r\n" : undefined;
    await expect(store.put("w", value, call)).rejects.toMatchObject({ code: "unavailable" });
    current = master.port;
    expect(await store.put("w", value, call)).toBe(true);
    expect(master.values.size).toBe(1);
  });

  test("looks for the new master no longer than the call's signal allows", async () => {
    await using master = await RedisPeer.listen(([name]) =>
      name === "SET" ? "-READONLY You can't write\r\n" : undefined,
    );
    await using sentinel = await RedisPeer.listen(([name]) =>
      name === "SENTINEL" ? answer(master.port) : undefined,
    );
    await using store = sentinel.open(`redis-sentinel://127.0.0.1:${sentinel.port}`);
    await store.lookup(["v"], call);
    sentinel.script = () => "";
    const signal = AbortSignal.timeout(50);
    await expect(store.put("v", value, { ...call, signal })).rejects.toThrow("timeout");
  });

  test("uses the password for the master, and another or none for the sentinels", async () => {
    await using master = await RedisPeer.listen();
    await using sentinel = await RedisPeer.listen(([name]) =>
      name === "SENTINEL" ? answer(master.port) : undefined,
    );
    const url = `redis-sentinel://kv:pw@127.0.0.1:${sentinel.port}/2?service_name=kv`;
    await using store = sentinel.open(url);
    await store.lookup(["v"], call);
    expect(sentinel.names()).toEqual(["SENTINEL"]);
    expect(master.received.slice(0, 2)).toEqual([
      ["AUTH", "kv", "pw"],
      ["SELECT", "2"],
    ]);
    await using other = sentinel.open(url, { sentinelPassword: "own" });
    await other.lookup(["v"], call);
    expect(sentinel.received[1]).toEqual(["AUTH", "own"]);
  });
});
