import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../../src/core/index.ts";
import { MOONCAKE_LAYOUTS } from "../../../src/protocol/index.ts";
import { openMooncakeRemote } from "../../../src/remotes/mooncake/index.ts";
import type { RemoteCall, RemoteStore } from "../../../src/remotes/remote-store.ts";
import { Peer, patternBytes } from "../protocol/peer.ts";
import { MooncakePeer } from "./mooncake-peer.ts";
import { getValue, remoteConformance } from "./remote-conformance.ts";
import { remoteTestOptions } from "./remote-test-options.ts";

const MiB = 2 ** 20;
const call: RemoteCall = { signal: new AbortController().signal, priority: "get" };
const allocate = (byteLength: number): Buffer => Buffer.alloc(byteLength);

function open(peer: MooncakePeer): Promise<RemoteStore> {
  return openMooncakeRemote(peer.url, remoteTestOptions);
}

function brief(milliseconds = 50): RemoteCall {
  return { signal: AbortSignal.timeout(milliseconds), priority: "get" };
}

remoteConformance("mooncakestore://", async () => {
  const peer = await MooncakePeer.start();
  return {
    store: await open(peer),
    openAnother: () => open(peer),
    cleanup: () => peer[Symbol.asyncDispose](),
  };
});

describe("mooncakestore:// releases", () => {
  test.each(MOONCAKE_LAYOUTS)("a master of $release is understood", async (layout) => {
    const transfer =
      layout.release >= "0.3.12" ? 2 : layout.isOneTransferPerConnection ? "one-shot" : 1;
    await using peer = await MooncakePeer.start({ layout, transfer });
    await using store = await open(peer);
    const value = patternBytes(3 * MiB + 7);
    for (const name of ["a", "b"]) expect(await store.put(name, value, call)).toBe(true);
    expect(await store.put("a", value, call)).toBe(true);
    expect(await store.lookup(["a", "b", "c"], call)).toBe(2);
    for (let round = 0; round < 3; round++) {
      expect((await getValue(store, "b"))?.equals(value)).toBe(true);
    }
    expect(await store.remove(["a", "c"], call)).toBe(1);
    expect(await store.lookup(["a", "b"], call)).toBe(0);
  });

  test("owners of an early layout that keep connections open are noticed", async () => {
    const layout = MOONCAKE_LAYOUTS.find(({ release }) => release === "0.3.9")!;
    await using peer = await MooncakePeer.start({ layout, transfer: 1 });
    await using store = await open(peer);
    expect(await store.put("a", patternBytes(MiB), call)).toBe(true);
    const startedMs = performance.now();
    for (const name of ["b", "c"]) await store.put(name, patternBytes(MiB), call);
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect((await getValue(store, "c"))?.equals(patternBytes(MiB))).toBe(true);
  });

  test("a master that is replaced by one of another release is understood too", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    await store.put("a", patternBytes(10), call);
    peer.layout = MOONCAKE_LAYOUTS[1]!;
    await peer.breakOff("master");
    expect(await getValue(store, "a")).toEqual(patternBytes(10));
    expect(await store.put("b", patternBytes(10), call)).toBe(true);
  });

  test("a release whose layout is unknown is named as the reason", async () => {
    const unknown = { ...MOONCAKE_LAYOUTS[0]!, putEnd: MOONCAKE_LAYOUTS[0]!.remove } as never;
    await using peer = await MooncakePeer.start({ layout: unknown });
    await using store = await open(peer);
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({
      code: "protocol",
      message: expect.stringContaining("wanted Mooncake 0.3.7 to 0.3.13") as string,
    });
  });
});

describe("mooncakestore:// puts that were cut short", () => {
  test.each(["PutStart is asked for", "the value is on its way", "PutEnd is told"])(
    "while %s: the next put of the name succeeds at once",
    async (when) => {
      await using peer = await MooncakePeer.start();
      await using store = await open(peer);
      const value = patternBytes(4 * MiB);
      await store.lookup(["a"], call);
      let isFrozen = true;
      const freeze = async (): Promise<void> => {
        if (isFrozen) await delay(150);
      };
      if (when === "the value is on its way") peer.beforeTransfer = freeze;
      const name = when === "PutEnd is told" ? "PutEnd" : "PutStart";
      if (when !== "the value is on its way") {
        peer.beforeMaster = async (called) => {
          if (called === name) await freeze();
        };
      }
      await expect(store.put("a", value, brief())).rejects.toThrow();
      isFrozen = false;
      await delay(200);
      expect(await store.put("a", value, call)).toBe(true);
      expect((await getValue(store, "a"))?.equals(value)).toBe(true);
      expect([...peer.objects.values()]).toHaveLength(1);
    },
  );

  test("room on a segment whose owner is gone is given back", async () => {
    await using peer = await MooncakePeer.start();
    await peer.breakOff("owner", true);
    await using store = await open(peer);
    expect(await store.put("a", patternBytes(MiB), call)).toBe(false);
    expect(peer.objects.size).toBe(0);
  });

  test("a put that somebody else has begun is not stored yet", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    peer.objects.set("a", { offset: 0, byteLength: 10, isComplete: false });
    expect(await store.put("a", patternBytes(10), call)).toBe(false);
    expect(await store.lookup(["a"], call)).toBe(0);
    expect(await getValue(store, "a")).toBeUndefined();
  });

  test("a full store says so", async () => {
    await using peer = await MooncakePeer.start({ segmentBytes: MiB });
    await using store = await open(peer);
    expect(await store.put("a", patternBytes(2 * MiB), call)).toBe(false);
  });
});

describe("mooncakestore:// faults", () => {
  test("a master that is gone rejects; a connection that it dropped is replaced", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    expect(await store.put("a", patternBytes(10), call)).toBe(true);
    await peer.breakOff("master");
    await peer.breakOff("owner");
    expect(await getValue(store, "a")).toEqual(patternBytes(10));
    await peer.breakOff("master", true);
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({
      name: "TierError",
      code: "unavailable",
    });
  });

  test("what a vanished owner held is a miss", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    await store.put("a", patternBytes(MiB), call);
    await peer.breakOff("owner", true);
    expect(await store.get("a", allocate, call)).toBeUndefined();
  });

  test("memory that its owner no longer lends is a miss", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    peer.objects.set("a", { offset: 2 ** 40, byteLength: 10, isComplete: true });
    expect(await store.get("a", allocate, call)).toBeUndefined();
  });

  test("a value that took longer to read than its lease lasts is a miss", async () => {
    await using peer = await MooncakePeer.start({ leaseMs: 20 });
    await using store = await open(peer);
    await store.put("a", patternBytes(MiB), call);
    peer.beforeTransfer = () => delay(40);
    expect(await store.get("a", allocate, call)).toBeUndefined();
  });

  test.each(["master", "owner"])("a frozen %s costs a call its time and no more", async (which) => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    await store.put("a", patternBytes(MiB), call);
    const forever = new AbortController();
    const freeze = () => delay(10_000, undefined, { signal: forever.signal, ref: false });
    if (which === "master") peer.beforeMaster = freeze;
    else peer.beforeTransfer = freeze;
    const startedMs = performance.now();
    await expect(getValue(store, "a", brief())).rejects.toThrow();
    await expect(store.put("b", patternBytes(MiB), brief())).rejects.toThrow();
    expect(performance.now() - startedMs).toBeLessThan(1500);
    peer.beforeMaster = peer.beforeTransfer = async () => {};
    expect(await getValue(store, "a")).toEqual(patternBytes(MiB));
    forever.abort();
  });

  test("an owner that sends something else is a protocol error", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    await store.put("a", patternBytes(MiB), call);
    peer.beforeTransfer = (_, socket) => socket.write([Buffer.alloc(8, 1)]);
    await expect(store.get("a", allocate, call)).rejects.toMatchObject({ code: "protocol" });
  });

  test("a reply that ends early is an error, whatever came before", async () => {
    await using peer = await MooncakePeer.start();
    await using store = await open(peer);
    await store.put("a", patternBytes(MiB), call);
    peer.beforeMaster = async (_, socket) => {
      await socket.write([Buffer.from("1500000001000000", "hex")]);
      socket[Symbol.dispose]();
    };
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({ name: "TierError" });
  });

  test("a server of another protocol is told from a master", async () => {
    await using peer = await Peer.listen((socket) => {
      socket.on("data", () => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n"));
    });
    await using store = await openMooncakeRemote(
      `mooncakestore://127.0.0.1:${peer.port}`,
      remoteTestOptions,
    );
    await expect(store.lookup(["a"], call)).rejects.toMatchObject({ code: "protocol" });
  });

  test.each([
    ["over rdma alone", { protocol: "rdma", devices: [] }, "wanted tcp"],
    ["without a port", { protocol: "tcp" }, "without its address"],
  ])("a segment that is described %s is an error that says so", async (_, described, reason) => {
    await using peer = await MooncakePeer.start();
    const { describe: whole } = peer;
    peer.describe = (key) => (key.startsWith("mooncake/ram/") ? described : whole(key));
    await using store = await open(peer);
    await expect(store.put("a", patternBytes(10), call)).rejects.toMatchObject({
      code: "protocol",
      message: expect.stringContaining(reason) as string,
    });
  });
});

describe("mooncakestore:// settings", () => {
  const options = { ...remoteTestOptions, clock: systemClock };
  const address = async (url: string, extraConfig: Record<string, unknown> = {}) =>
    (await openMooncakeRemote(url, { ...options, extraConfig })).address;

  test("the URL names the master, or the configuration does, as LMCache documents it", async () => {
    const extraConfig = {
      local_hostname: "localhost",
      metadata_server: "http://127.0.0.1:8080/metadata",
      protocol: "tcp",
      master_server_address: "elsewhere:50051",
      global_segment_size: 3_355_443_200,
      local_buffer_size: 1_073_741_824,
      transfer_timeout: 1,
    };
    expect(await address("mooncakestore://127.0.0.1:50052/", extraConfig)).toBe(
      "mooncakestore://127.0.0.1:50052",
    );
    expect(await address("mooncakestore://", extraConfig)).toBe("mooncakestore://elsewhere:50051");
    expect(await address("mooncakestore://host/?device=")).toBe("mooncakestore://host:50051");
  });

  test("a file that MOONCAKE_CONFIG_PATH names stands in for the configuration", async () => {
    const folder = await mkdtemp(join(tmpdir(), "warmkv-mooncake-"));
    const configPath = join(folder, "mooncake.json");
    try {
      await writeFile(configPath, JSON.stringify({ master_server_address: "filed:1" }));
      const store = await openMooncakeRemote("mooncakestore://", { ...options, configPath });
      expect(store.address).toBe("mooncakestore://filed:1");
      await writeFile(configPath, "{");
      await expect(
        openMooncakeRemote("mooncakestore://", { ...options, configPath }),
      ).rejects.toMatchObject({ name: "UsageError", param: "MOONCAKE_CONFIG_PATH" });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test.each([
    ["mooncakestore://", {}],
    ["mooncakestore://a,b", {}],
    ["mooncakestore://a:0", {}],
    ["mooncakestore://a", { protocol: "rdma" }],
    ["mooncakestore://a", { metadata_server: "etcd://b:2379" }],
    ["mooncakestore://a", { metadata_server: 8080 }],
  ])("%s with %j is refused", async (url, extraConfig) => {
    await expect(address(url, extraConfig)).rejects.toMatchObject({ name: "UsageError" });
  });
});
