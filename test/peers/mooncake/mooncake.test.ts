import { createHash } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silentLogger, systemClock } from "../../../src/core/index.ts";
import type { RemoteCall, RemoteStore } from "../../../src/remotes/index.ts";
import { openMooncakeRemote } from "../../../src/remotes/mooncake/index.ts";
import { patternBytes } from "../../unit/protocol/peer.ts";
import { getValue, remoteConformance } from "../../unit/remotes/remote-conformance.ts";
import { INSTALL_COMMAND, MooncakeCluster, findMooncake } from "./mooncake-cluster.ts";

const mooncake = findMooncake();
const MiB = 2 ** 20;

function open(url: string): Promise<RemoteStore> {
  return openMooncakeRemote(url, {
    timeoutMs: 3000,
    maxConnections: 4,
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
  });
}

function within(milliseconds: number): RemoteCall {
  return { signal: AbortSignal.timeout(milliseconds), priority: "get" };
}

describe.skipIf(mooncake === undefined)(`Mooncake's own services (${INSTALL_COMMAND})`, () => {
  for (const isPeerToPeer of [false, true]) {
    describe(isPeerToPeer ? "owners describe themselves" : "a metadata server", () => {
      let cluster: MooncakeCluster;
      let run = 0;
      beforeAll(async () => {
        cluster = await MooncakeCluster.start(mooncake!, { isPeerToPeer });
      });
      afterAll(() => cluster[Symbol.asyncDispose]());

      remoteConformance(
        "mooncakestore://",
        async () => {
          const prefix = `run-${++run}-`;
          const store = prefixed(await open(cluster.url), prefix);
          return {
            store,
            openAnother: async () => prefixed(await open(cluster.url), prefix),
            cleanup: async () => {
              await using client = prefixed(await open(cluster.url), prefix);
              await client.remove([...store.names], within(5000));
            },
          };
        },
        { numRuns: 5 },
      );

      test("Mooncake's own client reads what was put, and the other way round", async () => {
        await using store = await open(cluster.url);
        const value = patternBytes(3 * MiB + 7);
        expect(await store.put("ours", value, within(5000))).toBe(true);
        expect(await cluster.owner.ask("get ours")).toBe(
          createHash("sha256").update(value).digest("hex"),
        );
        expect(await cluster.owner.ask("put theirs 100000")).toBe("0");
        const theirs = await getValue(store, "theirs", within(5000));
        expect(theirs?.equals(Buffer.from(Array.from({ length: 100_000 }, (_, i) => i * 7)))).toBe(
          true,
        );
      });
    });
  }

  test("calls fail within their time while the master is gone, and work when it is back", async () => {
    await using cluster = await MooncakeCluster.start(mooncake!);
    await using store = await open(cluster.url);
    expect(await store.put("a", patternBytes(MiB), within(5000))).toBe(true);
    await cluster.stopMaster();
    await expect(store.lookup(["a"], within(5000))).rejects.toMatchObject({ name: "TierError" });
    await cluster.startMaster();
    await cluster.addOwner();
    await until(async () => await store.put("b", patternBytes(MiB), within(5000)));
    expect(await getValue(store, "b")).toEqual(patternBytes(MiB));
  });

  test("a frozen owner costs a call its time and no more; thawed, it serves again", async () => {
    await using cluster = await MooncakeCluster.start(mooncake!);
    await using store = await open(cluster.url);
    expect(await store.put("a", patternBytes(8 * MiB), within(5000))).toBe(true);
    cluster.owner.process.kill("SIGSTOP");
    const startedMs = performance.now();
    await expect(getValue(store, "a", within(500))).rejects.toThrow();
    await expect(store.put("b", patternBytes(8 * MiB), within(500))).rejects.toThrow();
    expect(performance.now() - startedMs).toBeLessThan(3000);
    cluster.owner.process.kill("SIGCONT");
    await until(async () => (await getValue(store, "a", within(5000))) !== undefined);
    expect(await store.put("b", patternBytes(8 * MiB), within(5000))).toBe(true);
    expect((await getValue(store, "b"))?.equals(patternBytes(8 * MiB))).toBe(true);
  });

  test("what a killed owner held is a miss", async () => {
    await using cluster = await MooncakeCluster.start(mooncake!);
    await using store = await open(cluster.url);
    expect(await store.put("a", patternBytes(MiB), within(5000))).toBe(true);
    await cluster.owner.stop();
    const allocate = (byteLength: number): Buffer => Buffer.alloc(byteLength);
    expect(await store.get("a", allocate, within(5000))).toBeUndefined();
  });
});

async function until(attempt: () => Promise<boolean>): Promise<void> {
  for (let round = 0; round < 60; round++) {
    if (await attempt().catch(() => false)) return;
    await delay(250);
  }
  throw new Error("It did not recover within 15 s");
}

/** One cluster for all tests: each has names of its own, and remembers them. */
function prefixed(store: RemoteStore, prefix: string): RemoteStore & { names: Set<string> } {
  const names = new Set<string>();
  const inner = (name: string): string => prefix + name;
  return {
    names,
    address: store.address,
    lookup: (asked, call) => store.lookup(asked.map(inner), call),
    get: (name, allocate, call) => store.get(inner(name), allocate, call),
    put: (name, value, call) => store.put(inner((names.add(name), name)), value, call),
    remove: (asked, call) => store.remove(asked.map(inner), call),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}
