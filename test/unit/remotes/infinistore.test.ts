import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { silentLogger } from "../../../src/core/index.ts";
import {
  InfinistoreServer,
  MemoryValueStorage,
  type ReservedValue,
  type StoredValue,
  type ValueStorage,
} from "../../../src/infinistore-server/index.ts";
import { openInfinistoreRemote } from "../../../src/remotes/infinistore/index.ts";
import type { RemoteCall } from "../../../src/remotes/remote-store.ts";
import { Peer, patternBytes } from "../protocol/peer.ts";
import { getValue, remoteConformance } from "./remote-conformance.ts";
import { remoteTestOptions } from "./remote-test-options.ts";

const MiB = 2 ** 20;
const call: RemoteCall = { signal: new AbortController().signal, priority: "get" };

function serve(storage: ValueStorage): InfinistoreServer {
  return new InfinistoreServer({
    storage,
    logger: silentLogger,
    maxConnections: 100,
    idleMs: 10_000,
    transferMs: 10_000,
  });
}

function open(port: number) {
  return openInfinistoreRemote(`infinistore://127.0.0.1:${port}`, remoteTestOptions);
}

remoteConformance("infinistore://", async () => {
  const server = serve(new MemoryValueStorage(64 * MiB));
  const { port } = await server.listen(0, "127.0.0.1");
  return {
    store: open(port),
    openAnother: async () => open(port),
    cleanup: () => server[Symbol.asyncDispose](),
  };
});

/** Says of a key whose put has not ended that it exists, and dies when somebody gets or removes it, as upstream does. */
class FragileStorage implements ValueStorage {
  readonly #inner = new MemoryValueStorage(64 * MiB);
  readonly #unfinished = new Map<string, number>();
  numCrashes = 0;
  numPutTwice = 0;

  has(key: string): boolean {
    return this.#unfinished.has(key) || this.#inner.has(key);
  }
  acquire(key: string): StoredValue | undefined {
    if (this.#unfinished.has(key)) this.numCrashes++;
    return this.#inner.acquire(key);
  }
  reserve(key: string, byteLength: number): ReservedValue | undefined {
    if (this.has(key)) this.numPutTwice++;
    const reserved = this.#inner.reserve(key, byteLength);
    if (reserved !== undefined) this.#unfinished.set(key, byteLength);
    return (
      reserved && {
        bytes: reserved.bytes,
        commit: () => {
          this.#unfinished.delete(key);
          return reserved.commit();
        },
        // A put that was cut short is never forgotten.
        [Symbol.dispose]: () => reserved[Symbol.dispose](),
      }
    );
  }
  remove(key: string): boolean {
    if (this.#unfinished.has(key)) this.numCrashes++;
    return this.#inner.remove(key);
  }
}

describe("infinistore:// lives with what upstream's server does", () => {
  test("it never gets or removes a key whose put has not ended, nor puts one twice", async () => {
    const storage = new FragileStorage();
    await using server = serve(storage);
    const { port } = await server.listen(0, "127.0.0.1");
    const clients = [open(port), open(port), open(port)];
    const value = patternBytes(MiB);
    const work = clients.map(async (client, which) => {
      for (let round = 0; round < 30; round++) {
        const name = `value-${round % 4}`;
        const abort = new AbortController();
        // One puts: of two processes at once nobody could keep the later from putting the marker twice.
        if (which === 0) {
          const timer = setTimeout(() => abort.abort(), round % 5);
          await client.put(name, value, { ...call, signal: abort.signal }).catch(() => {});
          clearTimeout(timer);
        }
        const found = await getValue(client, name);
        if (found !== undefined) expect(found.equals(value)).toBe(true);
        if (round % 10 === 9) await client.remove([name], call);
      }
    });
    await Promise.all(work);
    for (const client of clients) {
      expect(await client.put("last", value, call)).toBe(true);
      await client[Symbol.asyncDispose]();
    }
    expect([storage.numCrashes, storage.numPutTwice]).toEqual([0, 0]);
  });

  test("a value that was evicted before its marker is put anew", async () => {
    const storage = new MemoryValueStorage(4 * MiB);
    await using server = serve(storage);
    await using store = open((await server.listen(0, "127.0.0.1")).port);
    await store.put("a", patternBytes(3 * MiB), call);
    expect(await store.lookup(["a"], call)).toBe(1);
    // The marker was put last, so the value goes first.
    storage.reserve("other", 2 * MiB)![Symbol.dispose]();
    expect(storage.numValues).toBe(1);
    expect(await getValue(store, "a")).toBeUndefined();
    expect(await store.put("a", patternBytes(3 * MiB), call)).toBe(true);
    expect((await getValue(store, "a"))?.equals(patternBytes(3 * MiB))).toBe(true);
  });

  test.each(["says 507 and closes", "resets", "says 507 and waits"])(
    "a server that has no room and %s is a full store, not a broken one",
    async (how) => {
      await using peer = await Peer.listen((socket) => {
        let numRequests = 0;
        socket.on("data", () => {
          if (++numRequests === 1) socket.write(Buffer.from("c800000001000000", "hex"));
          if (numRequests !== 2) return;
          if (how !== "resets") socket.write(Buffer.from("fb010000", "hex"));
          if (how === "says 507 and closes") socket.destroy();
          if (how === "resets") socket.resetAndDestroy();
        });
      });
      await using store = open(peer.port);
      expect(await store.put("a", patternBytes(8 * MiB), call)).toBe(false);
    },
  );

  test("values above 40 MiB are not sent", async () => {
    await using store = open(1);
    expect(await store.put("a", Buffer.alloc(40 * MiB + 1), call)).toBe(false);
  });
});

describe("infinistore:// faults", () => {
  test("a server that is gone rejects; back, it is used again without a restart", async () => {
    let server = serve(new MemoryValueStorage(16 * MiB));
    const { port } = await server.listen(0, "127.0.0.1");
    await using store = open(port);
    expect(await store.put("a", patternBytes(MiB), call)).toBe(true);
    await server[Symbol.asyncDispose]();
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({
      name: "TierError",
      code: "unavailable",
    });
    server = serve(new MemoryValueStorage(16 * MiB));
    await server.listen(port, "127.0.0.1");
    let isStored = false;
    for (let round = 0; round < 100 && !isStored; round++) {
      isStored = await store.put("a", patternBytes(MiB), call).catch(() => false);
      await delay(20);
    }
    expect(isStored).toBe(true);
    await server[Symbol.asyncDispose]();
  });

  test("a silent server costs a call its time and no more", async () => {
    await using peer = await Peer.listen(() => {});
    await using store = open(peer.port);
    const startedMs = performance.now();
    const brief = (): RemoteCall => ({ signal: AbortSignal.timeout(50), priority: "get" });
    await expect(store.lookup(["a"], brief())).rejects.toThrow();
    await expect(getValue(store, "a", brief())).rejects.toThrow();
    await expect(store.put("a", patternBytes(MiB), brief())).rejects.toThrow();
    expect(performance.now() - startedMs).toBeLessThan(1500);
  });

  test.each([
    ["an unknown code", "9001000000000000"],
    ["another protocol", Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n").toString("hex")],
  ])("%s is a protocol error", async (_, reply) => {
    await using peer = await Peer.listen((socket) => {
      socket.on("data", () => socket.write(Buffer.from(reply, "hex")));
    });
    await using store = open(peer.port);
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({ code: "protocol" });
  });

  test("an answer that ends early is an error, whatever came before", async () => {
    await using peer = await Peer.listen((socket) => {
      socket.on("data", () => socket.end(Buffer.from("c80000", "hex")));
    });
    await using store = open(peer.port);
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("infinistore:// addresses", () => {
  test("a host, a port that may be left out, and a device that means nothing here", () => {
    const address = (url: string) => openInfinistoreRemote(url, remoteTestOptions).address;
    expect(address("infinistore://cache:12345/?device=mlx5_0")).toBe("infinistore://cache:12345");
    expect(address("infinistore://cache")).toBe("infinistore://cache:22345");
    expect(address("infinistore://[::1]:5/")).toBe("infinistore://[::1]:5");
  });

  test.each(["infinistore://", "infinistore://a,b", "infinistore://a:99999", "infinistore://u@a"])(
    "%s is refused",
    (url) => {
      expect(() => openInfinistoreRemote(url, remoteTestOptions)).toThrow(
        expect.objectContaining({ name: "UsageError" }),
      );
    },
  );
});
