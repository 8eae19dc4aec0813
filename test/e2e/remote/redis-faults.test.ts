import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TestEngine } from "../engine/engines.ts";
import { FLAVOURS, missing } from "../redis/programs.ts";
import { RedisCluster } from "../redis/redis-cluster.ts";
import { RedisSentinels } from "../redis/redis-sentinels.ts";
import { RedisServer, eventually } from "../redis/redis-server.ts";
import { Clients, NUM_CLIENTS, close, openEngineWith } from "./clients.ts";

/** The store's own tests run with all of them: what it makes of a fault does not depend on who has it. */
const flavour = FLAVOURS.find((each) => !missing(each).isMissing) ?? "redis";
const { isMissing, note } = missing(flavour);

let clients: Clients;
let engine: TestEngine;
const ask = (): Promise<number[]> => clients.ask(engine);
const becomeWarm = (): Promise<void> => clients.becomeWarm(engine);

describe.skipIf(isMissing)(`${flavour}, which ${NUM_CLIENTS} clients need${note}`, () => {
  beforeAll(async () => {
    clients = await Clients.start();
  });

  describe("one server", () => {
    let server: RedisServer;
    beforeAll(async () => {
      server = await RedisServer.start({
        flavour,
        admin: { username: "admin", password: "adm1n" },
        configuration: [
          "user admin on >adm1n ~* &* +@all",
          "user kv on >s3cret ~{warmkv:* +exists +get +getrange +set +persist +expire +unlink",
          "user default off",
        ].join("\n"),
      });
      engine = await openEngineWith(`redis://kv:s3cret@127.0.0.1:${server.port}`);
    });
    afterAll(async () => {
      await close(engine);
      await server[Symbol.asyncDispose]();
    });

    const dropClients = (): Promise<unknown> => server.call("CLIENT", "KILL", "USER", "kv");

    test("answers as it should", becomeWarm);

    test("is out of memory: requests succeed, and are warm again when there is room", async () => {
      await server.call("FLUSHALL");
      await server.call("CONFIG", "SET", "maxmemory", 1_000_000, "maxmemory-policy", "noeviction");
      const numRefused = refused();
      await ask();
      await engine.cache!.flush();
      expect(refused()).toBeGreaterThan(numRefused);
      await ask();
      await server.call("CONFIG", "SET", "maxmemory", 0);
      await becomeWarm();
    });

    test("is out of memory and full of what is wanted: all of it is still read", async () => {
      await server.call("CONFIG", "SET", "maxmemory", 1_000_000, "maxmemory-policy", "noeviction");
      expect(await ask()).toEqual(clients.numCachedWhenWarm);
      await server.call("CONFIG", "SET", "maxmemory", 0);
    });

    test("is made a replica: requests succeed, and are warm again when it is a master", async () => {
      await server.call("FLUSHALL");
      await server.call("REPLICAOF", "127.0.0.1", 1);
      expect(await ask()).toEqual(clients.numCachedWhenCold);
      await engine.cache!.flush();
      expect(await ask()).toEqual(clients.numCachedWhenCold);
      await server.call("REPLICAOF", "NO", "ONE");
      await becomeWarm();
    });

    test("has another password: requests succeed, and are warm again when it is the old one", async () => {
      await server.call("ACL", "SETUSER", "kv", "resetpass", ">another");
      await dropClients();
      await ask();
      expect(await ask()).toEqual(clients.numCachedWhenCold);
      await server.call("ACL", "SETUSER", "kv", "resetpass", ">s3cret");
      await becomeWarm();
    });

    test("may do nothing for us: requests succeed, and are warm again when it may", async () => {
      await server.call("ACL", "SETUSER", "kv", "-get", "-getrange", "-set");
      await ask();
      await ask();
      await server.call("ACL", "SETUSER", "kv", "+get", "+getrange", "+set");
      await becomeWarm();
    });

    test("throws its clients out while requests run", async () => {
      const asked = ask();
      for (let round = 0; round < 20; round++) await dropClients();
      await asked;
      await becomeWarm();
    });

    test("is killed while requests run, and comes back with nothing", async () => {
      const asked = ask();
      await server.kill();
      await asked;
      expect(await ask()).toEqual(clients.numCachedWhenCold);
      await server.start();
      await becomeWarm();
    });
  });

  describe("a cluster", () => {
    let cluster: RedisCluster;
    beforeAll(async () => {
      cluster = await RedisCluster.start(flavour);
      engine = await openEngineWith(cluster.url);
    });
    afterAll(async () => {
      await close(engine);
      await cluster[Symbol.asyncDispose]();
    });

    test("moves slots from one server to another: all of it is found at either", async () => {
      await becomeWarm();
      const [from, to] = cluster.servers as [RedisServer, RedisServer];
      const [fromId, toId] = await Promise.all(
        [from, to].map(async (server) => String(await server.call("CLUSTER", "MYID"))),
      );
      const keys = (await from.call("KEYS", "*")) as string[];
      expect(keys.length).toBeGreaterThan(0);
      const slots = new Set<number>();
      for (const key of keys) slots.add((await from.call("CLUSTER", "KEYSLOT", key)) as number);

      for (const slot of slots) {
        await to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", fromId!);
        await from.call("CLUSTER", "SETSLOT", slot, "MIGRATING", toId!);
      }
      for (const key of keys) {
        const isAsked = key === keys[Math.floor(keys.length / 2)] ? ask() : undefined;
        await from.call("MIGRATE", "127.0.0.1", to.port, key, 0, 5000);
        await isAsked;
      }
      // ASK: the old server has the slots, the new one their values.
      expect(await ask()).toEqual(clients.numCachedWhenWarm);
      const asked = ask();
      for (const slot of slots) {
        for (const server of [to, from]) {
          await server.call("CLUSTER", "SETSLOT", slot, "NODE", toId!);
        }
      }
      await asked;
      // MOVED.
      expect(await ask()).toEqual(clients.numCachedWhenWarm);
      await becomeWarm();
    });

    test("loses a master while requests run: its replica is used without a restart", async () => {
      const asked = ask();
      await cluster.servers[1]!.kill();
      await asked;
      await ask();
      await becomeWarm();
    });
  });

  describe("a master behind sentinels", () => {
    let setup: RedisSentinels;
    beforeAll(async () => {
      setup = await RedisSentinels.start(flavour);
      engine = await openEngineWith(setup.url);
    });
    afterAll(async () => {
      await close(engine);
      await setup[Symbol.asyncDispose]();
    });

    test("changes places with its replica while requests run", async () => {
      await becomeWarm();
      const { master, replica, sentinels } = setup;
      await eventually("the replica has everything", () => master.isCopied());
      await sentinels[0]!.call("SENTINEL", "FAILOVER", "kv");
      const asked = ask();
      await setup.follows(replica);
      // What the sentinels do too, some ten seconds later.
      await master.call("REPLICAOF", "127.0.0.1", replica.port);
      await asked;
      await eventually("the old master is a replica", async () =>
        String(await master.call("INFO", "replication")).includes("master_link_status:up"),
      );
      // So that chunks are put: the old master would take none.
      await replica.call("FLUSHALL");
      await eventually(
        "the old master has nothing",
        async () => (await master.call("DBSIZE")) === 0,
      );
      await ask();
      await becomeWarm();
      expect(await replica.call("DBSIZE")).toBeGreaterThan(0);
      await eventually("the old master has everything", () => replica.isCopied());
    });

    test("dies while requests run: the other one is used without a restart", async () => {
      const asked = ask();
      await setup.replica.kill();
      await asked;
      expect(await ask()).toEqual(clients.numCachedWhenCold);
      await becomeWarm();
    });

    test("is not known yet and its sentinels are frozen: requests succeed, and are warm when they go on", async () => {
      // Last: sentinels that have stood still name no other master for half a minute.
      await using late = await openEngineWith(setup.url);
      for (const sentinel of setup.sentinels) sentinel.freeze();
      for (let round = 0; round < 2; round++) {
        expect(await clients.ask(late)).toEqual(clients.numCachedWhenCold);
      }
      for (const sentinel of setup.sentinels) sentinel.thaw();
      await clients.becomeWarm(late);
    });
  });
});

function refused(): number {
  return engine.cache!.stats().tiers["RemoteBackend"]!.numRefused;
}
