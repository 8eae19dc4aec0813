import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RemoteStore } from "../../../src/remotes/index.ts";
import { hashSlot } from "../../../src/remotes/redis/hash-slot.ts";
import { headKey } from "../../../src/remotes/redis/layout.ts";
import { patternBytes } from "../../unit/protocol/peer.ts";
import { remoteConformance } from "../../unit/remotes/remote-conformance.ts";
import { callWithin, holds, openRemote } from "./open-remote.ts";
import { FLAVOURS, missing } from "./programs.ts";
import { RedisCluster } from "./redis-cluster.ts";
import { type RedisServer, eventually } from "./redis-server.ts";

describe.each(FLAVOURS)("%s", (flavour) => {
  const { isMissing, note } = missing(flavour);

  describe.skipIf(isMissing)(`a cluster${note}`, () => {
    let cluster: RedisCluster;
    beforeAll(async () => {
      cluster = await RedisCluster.start(flavour);
    });
    afterAll(() => cluster[Symbol.asyncDispose]());

    /** Who has the slot of a name when nothing was moved, and who comes after. */
    const ownerOf = (name: string): [owner: RedisServer, next: RedisServer] => {
      const index = Math.floor((hashSlot(headKey(name)) * 3) / 16384);
      return [cluster.servers[index]!, cluster.servers[(index + 1) % 3]!];
    };

    remoteConformance(
      "redis-cluster://",
      async () => {
        await cluster.clear();
        const open = (): RemoteStore => openRemote(cluster.url);
        return { store: open(), openAnother: async () => open() };
      },
      { canClaim: true },
    );

    test("all servers hold a share of the values, and each value whole", async () => {
      await cluster.clear();
      await using store = openRemote(cluster.url);
      const value = patternBytes(9_000_000);
      for (let index = 0; index < 12; index++) {
        await store.put(`value ${index}`, value, callWithin());
      }
      const sizes = await Promise.all(
        cluster.servers.slice(0, 3).map((server) => server.call("DBSIZE")),
      );
      for (const size of sizes as number[]) {
        expect(size % 3).toBe(0);
        expect(size).toBeGreaterThan(0);
      }
    });

    test("a slot on its way to another server costs misses at most, and none afterwards", async () => {
      await cluster.clear();
      await using store = openRemote(cluster.url);
      const value = patternBytes(5_000_000);
      const moving = "moving";
      const [owner, next] = ownerOf(moving);
      const slot = hashSlot(headKey(moving));
      const ids = await Promise.all([owner.call("CLUSTER", "MYID"), next.call("CLUSTER", "MYID")]);
      const [ownerId, nextId] = ids.map(String) as [string, string];
      await store.put(moving, value, callWithin());

      await next.call("CLUSTER", "SETSLOT", slot, "IMPORTING", ownerId);
      await owner.call("CLUSTER", "SETSLOT", slot, "MIGRATING", nextId);
      expect(await holds(store, moving, value)).toBe(true);
      const move = (key: string): Promise<unknown> =>
        owner.call("MIGRATE", "127.0.0.1", next.port, key, 0, 5000);

      // Half of it there, half of it here.
      await move(`${headKey(moving)}:1`);
      expect(await store.get(moving, (length) => Buffer.alloc(length), callWithin())).toBe(
        undefined,
      );
      await move(headKey(moving));
      // All of it at the new server, which is asked because the old one says so.
      expect(await store.lookup([moving], callWithin())).toBe(1);
      expect(await holds(store, moving, value)).toBe(true);
      expect(await store.remove([moving], callWithin())).toBe(1);
      expect(await store.put(moving, value, callWithin())).toBe(true);

      for (const server of [next, owner])
        await server.call("CLUSTER", "SETSLOT", slot, "NODE", nextId);
      expect(await store.lookup([moving, moving], callWithin())).toBe(2);
      expect(await holds(store, moving, value)).toBe(true);
      expect(await store.remove([moving], callWithin())).toBe(1);
    });

    test("after the death of a master its replica is used, without a restart", async () => {
      await cluster.clear();
      await using store = openRemote(cluster.url);
      const names = Array.from({ length: 24 }, (_, index) => `value ${index}`);
      const value = patternBytes(300_000);
      for (const name of names) expect(await store.put(name, value, callWithin())).toBe(true);
      const [master] = cluster.servers;
      await eventually("the replica has everything", () => master!.isCopied());
      await master!.kill();

      let longestMs = 0;
      await eventually("all values are found again", async () => {
        const startMs = performance.now();
        const numFound = await store.lookup(names, callWithin(1000)).catch(() => 0);
        longestMs = Math.max(longestMs, performance.now() - startMs);
        return numFound === names.length;
      });
      expect(longestMs).toBeLessThan(1500);
      for (const name of names) {
        expect(await holds(store, name, value)).toBe(true);
        expect(await store.remove([name], callWithin())).toBe(1);
        expect(await store.put(name, value, callWithin())).toBe(true);
      }
    });
  });
});
