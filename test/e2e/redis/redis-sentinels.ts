import type { Flavour } from "./programs.ts";
import { RedisServer, eventually } from "./redis-server.ts";

const NUM_SENTINELS = 3;

const PASSWORD = "s3cret";

/** A master with a replica, and three sentinels that watch them. */
export class RedisSentinels implements AsyncDisposable {
  readonly master: RedisServer;
  readonly replica: RedisServer;
  readonly sentinels: readonly RedisServer[];

  private constructor(
    master: RedisServer,
    replica: RedisServer,
    sentinels: readonly RedisServer[],
  ) {
    this.master = master;
    this.replica = replica;
    this.sentinels = sentinels;
  }

  static async start(flavour: Flavour): Promise<RedisSentinels> {
    const settings = {
      requirepass: PASSWORD,
      masterauth: PASSWORD,
      "repl-diskless-sync-delay": "0",
    };
    const admin = { password: PASSWORD };
    const master = await RedisServer.start({ flavour, settings, admin });
    const replicaof = `127.0.0.1 ${master.port}`;
    const replica = await RedisServer.start({
      flavour,
      admin,
      settings: { ...settings, replicaof },
    });
    const configuration = [
      `sentinel monitor kv 127.0.0.1 ${master.port} 2`,
      `sentinel auth-pass kv ${PASSWORD}`,
      "sentinel down-after-milliseconds kv 1000",
      "sentinel failover-timeout kv 2000",
    ].join("\n");
    const sentinels = await RedisServer.startAll(
      Array.from({ length: NUM_SENTINELS }, () => ({ flavour, isSentinel: true, configuration })),
    );
    await eventually("the replica follows", async () =>
      String(await replica.call("INFO", "replication")).includes("master_link_status:up"),
    );
    for (const sentinel of sentinels) {
      await eventually("the sentinels know each other and the replica", async () => {
        const info = String(await sentinel.call("INFO", "sentinel"));
        return info.includes(`slaves=1,sentinels=${NUM_SENTINELS}`);
      });
    }
    return new RedisSentinels(master, replica, sentinels);
  }

  get url(): string {
    const hosts = this.sentinels.map((sentinel) => `127.0.0.1:${sentinel.port}`);
    return `redis-sentinel://:${PASSWORD}@${hosts.join(",")}?service_name=kv`;
  }

  /** Resolves when all sentinels name this server as the master: they learn of it one after another. */
  async follows(server: RedisServer): Promise<void> {
    for (const sentinel of this.sentinels) {
      await eventually("the sentinels name another master", async () => {
        const named = await sentinel.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "kv");
        return (named as string[])[1] === String(server.port);
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.sentinels, this.master, this.replica];
    await Promise.all(all.map((server) => server[Symbol.asyncDispose]()));
  }
}
