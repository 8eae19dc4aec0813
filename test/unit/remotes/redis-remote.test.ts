import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { RemoteCall, RemoteStore } from "../../../src/remotes/index.ts";
import { STRIPE_BYTES, headKey } from "../../../src/remotes/redis/layout.ts";
import { patternBytes } from "../protocol/peer.ts";
import { RedisPeer } from "./redis-peer.ts";

const call: RemoteCall = { signal: new AbortController().signal, priority: "get" };
const small = patternBytes(100);
const striped = patternBytes(STRIPE_BYTES + 10);

async function get(store: RemoteStore, name: string): Promise<Buffer | undefined> {
  let target = Buffer.alloc(0);
  const numBytes = await store.get(name, (length) => (target = Buffer.alloc(length)), call);
  return numBytes === undefined ? undefined : target;
}

/** Compared as a whole: element by element takes for ever. */
async function isStriped(store: RemoteStore): Promise<boolean | undefined> {
  return (await get(store, "v"))?.equals(striped);
}

describe("RedisRemote", () => {
  test("lookup() asks for a whole prompt in one pipeline and counts up to the first gap", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    for (const name of ["a", "b", "d"]) await store.put(name, small, call);
    redis.received.length = 0;
    expect(await store.lookup(["a", "b", "c", "d"], call)).toBe(2);
    expect(redis.received).toEqual(["a", "b", "c", "d"].map((name) => ["EXISTS", headKey(name)]));
    expect(await store.lookup([], call)).toBe(0);
  });

  test("put() writes the first key last, and only when all stripes are there", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    expect(await store.put("v", striped, call)).toBe(true);
    expect(redis.names()).toEqual(["EXISTS", "SET", "PERSIST", "EXISTS", "SET"]);
    expect(redis.received[1]!.slice(3)).toEqual(["EX", "600"]);
    expect(redis.received[4]![1]).toBe("{warmkv:v}");
    expect(await isStriped(store)).toBe(true);
  });

  test("put() of a held name sends no value", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    await store.put("v", small, call);
    redis.received.length = 0;
    expect(await store.put("v", small, call)).toBe(true);
    expect(redis.names()).toEqual(["EXISTS"]);
  });

  test("put() gives all keys the time to live it was opened with, the first the shortest", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open(undefined, { ttlSeconds: 100 });
    await store.put("v", striped, call);
    expect(redis.received[2]).toEqual(["EXPIRE", "{warmkv:v}:1", "160"]);
    expect(redis.received[4]!.slice(3)).toEqual(["EX", "100"]);
  });

  test.each(["{warmkv:v}:1", "{warmkv:v}"])(
    "put() answers false when there is no room for %s, and leaves nothing behind",
    async (fullKey) => {
      await using redis = await RedisPeer.listen(([name, key]) =>
        name === "SET" && key === fullKey ? "-OOM command not allowed\r\n" : undefined,
      );
      await using store = redis.open();
      expect(await store.put("v", striped, call)).toBe(false);
      expect(redis.values.size).toBe(0);
      redis.script = () => undefined;
      expect(await store.put("v", striped, call)).toBe(true);
      expect(redis.numConnections).toBe(1);
    },
  );

  test("put() answers false when a stripe was evicted before the value was whole", async () => {
    await using redis = await RedisPeer.listen(([name, key]) => {
      if (name === "PERSIST") redis.values.delete(key!);
      return undefined;
    });
    await using store = redis.open();
    expect(await store.put("v", striped, call)).toBe(false);
    expect(redis.values.size).toBe(0);
  });

  test("get() of a value whose stripe was evicted is a miss, and the rest is removed", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    await store.put("v", striped, call);
    redis.values.delete("{warmkv:v}:1");
    expect(await get(store, "v")).toBeUndefined();
    expect(redis.values.size).toBe(0);
    expect(await store.lookup(["v"], call)).toBe(0);
    expect(redis.numConnections).toBe(1);
  });

  test.each([
    ["a stripe of another length", "{warmkv:v}:1", "short"],
    ["no header", "{warmkv:v}", "x"],
    ["a header of another", "{warmkv:v}", "WKV2".padEnd(40, "\0")],
    ["a header that does not fit", "{warmkv:v}", "WKV1\x01\0\0\0\x09\0\0\0\0\0\0\0abc"],
  ])("get() of a value with %s is a miss, and it is removed", async (_, key, bytes) => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    await store.put("v", striped, call);
    redis.values.set(key, bytes);
    expect(await get(store, "v")).toBeUndefined();
    expect(redis.values.has("{warmkv:v}")).toBe(false);
    expect(redis.numConnections).toBe(1);
  });

  test("get() without room reads the value away and keeps the connection", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    await store.put("v", striped, call);
    expect(await store.get("v", () => undefined, call)).toBeUndefined();
    expect(await isStriped(store)).toBe(true);
    expect(redis.numConnections).toBe(1);
  });

  test("get() of a stripe that the server refuses is a miss, without allocating twice", async () => {
    await using redis = await RedisPeer.listen(([name, key]) =>
      name === "GET" && key === "{warmkv:v}:1" ? "-ASK 1 127.0.0.1:1\r\n" : undefined,
    );
    await using store = redis.open();
    await store.put("v", striped, call);
    let numAllocated = 0;
    const allocate = (length: number): Buffer => (numAllocated++, Buffer.alloc(length));
    expect(await store.get("v", allocate, call)).toBeUndefined();
    expect(numAllocated).toBe(1);
    expect(redis.values.size).toBe(2);
  });

  test("remove() counts the values that were there and removes all their keys", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    await store.put("a", striped, call);
    await store.put("b", small, call);
    expect(await store.remove(["a", "x", "b", "b"], call)).toBe(2);
    expect(redis.values.size).toBe(0);
  });

  test("logs in and selects the database before anything else, once per connection", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open(`redis://kv:p%40ss@127.0.0.1:${redis.port}/3`);
    await store.lookup(["a"], call);
    await store.lookup(["a"], call);
    expect(redis.received.slice(0, 2)).toEqual([
      ["AUTH", "kv", "p@ss"],
      ["SELECT", "3"],
    ]);
    expect(redis.names().slice(2)).toEqual(["EXISTS", "EXISTS"]);
    expect(store.address).toBe(`redis://127.0.0.1:${redis.port}/3`);
  });

  test("takes the password from the options when the URL has none", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open(undefined, { token: "secret" });
    await store.lookup(["a"], call);
    expect(redis.received[0]).toEqual(["AUTH", "secret"]);
  });
});

describe("RedisRemote with a server that refuses", () => {
  test.each([
    ["NOAUTH Authentication required.", "unauthorized"],
    ["NOPERM this user has no permissions to run the 'exists' command", "unauthorized"],
    ["LOADING Redis is loading the dataset in memory", "unavailable"],
    ["CLUSTERDOWN The cluster is down", "unavailable"],
    ["MASTERDOWN Link with MASTER is down", "unavailable"],
    ["TRYAGAIN Multiple keys request during rehashing of slot", "unavailable"],
    ["MISCONF Redis is configured to save RDB snapshots", "unavailable"],
    ["READONLY You can't write against a read only replica.", "unavailable"],
    ["ERR max number of clients reached", "unavailable"],
    ["MOVED 1 127.0.0.1:1", "protocol"],
    ["WRONGTYPE Operation against a key holding the wrong kind of value", "protocol"],
    ["ERR unknown command", "protocol"],
  ])("every call rejects on %s, and works again afterwards", async (error, code) => {
    await using redis = await RedisPeer.listen(() => `-${error}\r\n`);
    await using store = redis.open();
    for (const work of [
      () => store.lookup(["v"], call),
      () => get(store, "v"),
      () => store.put("v", small, call),
      () => store.remove(["v"], call),
    ]) {
      await expect(work()).rejects.toMatchObject({ name: "TierError", code });
    }
    redis.script = () => undefined;
    expect(await store.put("v", small, call)).toBe(true);
    expect(await get(store, "v")).toEqual(small);
  });

  test.each([
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR unknown command 'AUTH', with args beginning with: 's3cret'",
    "ERR AUTH <password> called without any password configured for the default user.",
  ])("a password that is refused (%s) is in no message", async (error) => {
    await using redis = await RedisPeer.listen(([name]) =>
      name === "AUTH" ? `-${error}\r\n` : undefined,
    );
    await using store = redis.open(`redis://:s3cret@127.0.0.1:${redis.port}`);
    const failure = await store.lookup(["v"], call).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ name: "TierError", code: "unauthorized" });
    expect(inspect(failure, { depth: 9 })).not.toContain("s3cret");
  });

  test.each([
    "HTTP/1.1 400 Bad Request\r\n\r\n",
    "$5\r\nabcdefg\r\n",
    "$99999999999999999\r\n",
    "\n",
  ])("nonsense (%j) rejects with the code protocol", async (bytes) => {
    await using redis = await RedisPeer.listen(() => bytes);
    await using store = redis.open();
    await expect(get(store, "v")).rejects.toMatchObject({ name: "TierError", code: "protocol" });
  });

  test("a connection that ends anywhere in an exchange rejects, and the next call works", async () => {
    await using redis = await RedisPeer.listen();
    await using store = redis.open();
    await store.put("v", striped, call);
    const head = redis.values.get("{warmkv:v}")!;
    for (const sent of [
      "",
      "$",
      "$-",
      `$${head.length}\r`,
      `$${head.length}\r\nWKV1`,
      `$${head.length}\r\n${head}`,
    ]) {
      redis.script = ([name, key], socket) => {
        if (name !== "GET" || key !== "{warmkv:v}") return undefined;
        // What came in this exchange makes sure that it is not simply tried again.
        socket.end(sent === "" ? "$" : sent, "latin1");
        return "";
      };
      await expect(get(store, "v")).rejects.toMatchObject({ code: "unavailable" });
      redis.script = () => undefined;
      expect(await isStriped(store)).toBe(true);
    }
  });

  test("a reply that nobody asked for costs the connection, and no later answer is another's", async () => {
    await using redis = await RedisPeer.listen(([name]) =>
      name === "EXISTS" ? ":0\r\n:1\r\n" : undefined,
    );
    await using store = redis.open();
    expect(await store.lookup(["v"], call)).toBe(0);
    expect(await store.lookup(["v"], call)).toBe(0);
    expect(redis.numConnections).toBe(2);
  });

  test("a server that says nothing ends the call at its signal", async () => {
    await using redis = await RedisPeer.listen(() => "");
    await using store = redis.open();
    const signal = AbortSignal.timeout(50);
    const failure = await store.lookup(["v"], { ...call, signal }).catch((error: unknown) => error);
    expect(failure).toBe(signal.reason);
    redis.script = () => undefined;
    expect(await store.lookup(["v"], call)).toBe(0);
  });

  test("a closed store rejects with the code closed", async () => {
    await using redis = await RedisPeer.listen();
    const store = redis.open();
    await store.lookup(["v"], call);
    await store[Symbol.asyncDispose]();
    await expect(store.lookup(["v"], call)).rejects.toMatchObject({ code: "closed" });
  });
});
