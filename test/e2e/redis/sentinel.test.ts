import { inspect } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RemoteStore } from "../../../src/remotes/index.ts";
import { patternBytes } from "../../unit/protocol/peer.ts";
import { remoteConformance } from "../../unit/remotes/remote-conformance.ts";
import { callWithin, holds, openRemote } from "./open-remote.ts";
import { FLAVOURS, missing } from "./programs.ts";
import { RedisSentinels } from "./redis-sentinels.ts";
import { eventually } from "./redis-server.ts";

describe.each(FLAVOURS)("%s", (flavour) => {
  const { isMissing, note } = missing(flavour);

  describe.skipIf(isMissing)(`a master behind sentinels${note}`, () => {
    let setup: RedisSentinels;
    beforeAll(async () => {
      setup = await RedisSentinels.start(flavour);
    });
    afterAll(() => setup[Symbol.asyncDispose]());

    const value = patternBytes(5_000_000);
    const isHeld = (store: RemoteStore): Promise<boolean | undefined> =>
      holds(store, "value", value);

    remoteConformance(
      "redis-sentinel://",
      async () => {
        await setup.master.call("FLUSHALL");
        return { store: openRemote(setup.url), openAnother: async () => openRemote(setup.url) };
      },
      { canClaim: true },
    );

    test("a name that the sentinels do not know is said so", async () => {
      await using store = openRemote(setup.url.replace("service_name=kv", "service_name=other"));
      await expect(store.lookup(["a"], callWithin())).rejects.toMatchObject({
        code: "unavailable",
        message: expect.stringContaining('The sentinels know no master "other"'),
      });
    });

    test("a wrong password is refused, and no message has it", async () => {
      await using store = openRemote(setup.url.replace("s3cret", "wr0ng"));
      const failure = await store.lookup(["a"], callWithin()).catch((error: unknown) => error);
      expect(failure).toMatchObject({ name: "TierError", code: "unauthorized" });
      expect(inspect(failure, { depth: 9 })).not.toContain("wr0ng");
    });

    test("masters change while both live, and when one dies, without a restart", async () => {
      const { master, replica, sentinels } = setup;
      await master.call("FLUSHALL");
      await using store = openRemote(setup.url);
      expect(await store.put("value", value, callWithin())).toBe(true);
      await eventually("the replica has everything", () => master.isCopied());

      await sentinels[0]!.call("SENTINEL", "FAILOVER", "kv");
      await setup.follows(replica);
      // What the sentinels do too, some ten seconds later.
      await master.call("REPLICAOF", "127.0.0.1", replica.port);
      await eventually("the old master is a replica", async () =>
        String(await master.call("INFO", "replication")).includes("master_link_status:up"),
      );
      // The store does not know yet: the old master says that it is none any more.
      expect(await isHeld(store)).toBe(true);
      expect(await store.remove(["value"], callWithin())).toBe(1);
      expect(await store.put("value", value, callWithin())).toBe(true);
      await eventually("the old master has everything", () => replica.isCopied());

      await replica.kill();
      await eventually("values can be put again", () =>
        store.put("another", value, callWithin(1000)).catch(() => false),
      );
      expect(await isHeld(store)).toBe(true);
    });
  });
});
