import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RemoteStore } from "../../../src/remotes/index.ts";
import { patternBytes } from "../../unit/protocol/peer.ts";
import { callWithin, holds, openRemote } from "./open-remote.ts";
import { FLAVOURS, missing } from "./programs.ts";
import { RedisServer } from "./redis-server.ts";

const MiB = 2 ** 20;
const value = patternBytes(9 * MiB);
const names = Array.from({ length: 12 }, (_, index) => `value ${index}`);

describe.each(FLAVOURS)("%s", (flavour) => {
  const { isMissing, note } = missing(flavour);

  describe.skipIf(isMissing)(`a server with troubles${note}`, () => {
    let server: RedisServer;
    let store: RemoteStore;
    beforeEach(async () => {
      server = await RedisServer.start({ flavour });
      store = openRemote(`redis://127.0.0.1:${server.port}`);
    });
    afterEach(async () => {
      await store[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    });

    const isHeld = (name: string, timeoutMs?: number): Promise<boolean | undefined> =>
      holds(store, name, value, callWithin(timeoutMs));

    test("without memory: put() answers false, and leaves nothing of the value", async () => {
      await server.call("CONFIG", "SET", "maxmemory", 40 * MiB, "maxmemory-policy", "noeviction");
      const stored: boolean[] = [];
      for (const name of names) stored.push(await store.put(name, value, callWithin()));
      const numStored = stored.filter(Boolean).length;
      expect(numStored).toBeGreaterThan(0);
      expect(numStored).toBeLessThan(5);
      expect(await server.call("DBSIZE")).toBe(3 * numStored);
      for (const [index, name] of names.entries()) {
        expect(await isHeld(name)).toBe(stored[index] || undefined);
      }
      await store.remove([names[0]!], callWithin());
      expect(await store.put("later", value, callWithin())).toBe(true);
    });

    test("evicting as it likes: what is found is right, and the rest of the others is removed", async () => {
      await server.call(
        "CONFIG",
        "SET",
        "maxmemory",
        60 * MiB,
        "maxmemory-policy",
        "allkeys-random",
      );
      let numHeld = 0;
      // Chance says which stripes go: it may leave no value whole, but not in each of twenty rounds.
      for (let round = 0; round < 20 && numHeld === 0; round++) {
        for (const name of [...names, ...names]) await store.put(name, value, callWithin());
        for (const name of names) {
          const found = await isHeld(name);
          expect(found).not.toBe(false);
          expect(await store.lookup([name], callWithin())).toBe(found ? 1 : 0);
          if (found) numHeld++;
        }
      }
      expect(numHeld).toBeGreaterThan(0);
    });

    test("killed and restarted: calls fail at once, then find an empty store and fill it", async () => {
      await store.put("value", value, callWithin());
      await server.kill();
      for (let round = 0; round < 3; round++) {
        await expect(store.lookup(["value"], callWithin(1000))).rejects.toMatchObject({
          code: "unavailable",
        });
      }
      await server.start();
      await expect.poll(() => store.lookup(["value"], callWithin()).catch(() => -1)).toBe(0);
      expect(await store.put("value", value, callWithin())).toBe(true);
      expect(await isHeld("value")).toBe(true);
    });

    test("restarted behind our back: the next call finds out by itself", async () => {
      await store.put("value", value, callWithin());
      await server.kill();
      await server.start();
      expect(await store.lookup(["value"], callWithin())).toBe(0);
    });

    test("frozen: every call ends at its signal, and works again after the thaw", async () => {
      await store.put("value", value, callWithin());
      server.freeze();
      const startMs = performance.now();
      const calls = await Promise.allSettled([
        store.lookup(["value"], callWithin(200)),
        isHeld("value", 200),
        store.put("another", value, callWithin(200)),
        store.remove(["value"], callWithin(200)),
      ]);
      expect(performance.now() - startMs).toBeLessThan(1000);
      for (const each of calls) expect(each.status).toBe("rejected");
      server.thaw();
      await expect.poll(() => store.lookup(["value"], callWithin()).catch(() => -1)).toBe(1);
      expect(await isHeld("value")).toBe(true);
    });

    test("a replica: reads go on, puts reject, until it is a master again", async () => {
      await store.put("value", value, callWithin());
      await server.call("CONFIG", "SET", "replica-serve-stale-data", "yes");
      await server.call("REPLICAOF", "127.0.0.1", 1);
      expect(await isHeld("value")).toBe(true);
      await expect(store.put("another", value, callWithin())).rejects.toMatchObject({
        code: "unavailable",
      });
      await server.call("REPLICAOF", "NO", "ONE");
      expect(await store.put("another", value, callWithin())).toBe(true);
    });

    test("every client thrown out in the middle of everything: no wrong bytes, and it goes on", async () => {
      await store.put("value", value, callWithin());
      for (let round = 0; round < 20; round++) {
        const reading = isHeld("value", 5000).catch(() => undefined);
        const writing = store.put(`value ${round}`, value, callWithin()).catch(() => false);
        await server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
        expect(await reading).not.toBe(false);
        if (await writing) expect(await isHeld(`value ${round}`)).toBe(true);
      }
      expect(await isHeld("value")).toBe(true);
    });

    test("a call that is given up in the middle of a value touches the memory no more", async () => {
      await store.put("value", value, callWithin());
      const memory = Buffer.alloc(value.byteLength);
      for (let round = 0; round < 10; round++) {
        const abort = new AbortController();
        const reading = store.get(
          "value",
          (length) => {
            setTimeout(() => abort.abort(), round % 5);
            return memory.subarray(0, length);
          },
          { signal: abort.signal, priority: "get" },
        );
        await reading.catch(() => {});
        memory.fill(0);
        await isHeld("value");
        expect(memory.equals(Buffer.alloc(memory.byteLength))).toBe(true);
      }
    });
  });
});
