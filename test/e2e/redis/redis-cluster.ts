import { NUM_SLOTS } from "../../../src/remotes/redis/hash-slot.ts";
import type { Flavour } from "./programs.ts";
import { RedisServer, eventually } from "./redis-server.ts";

const NUM_MASTERS = 3;

/** Three masters, and a replica for each. */
export class RedisCluster implements AsyncDisposable {
  /** The masters first, then their replicas in the same order. */
  readonly servers: readonly RedisServer[];

  private constructor(servers: readonly RedisServer[]) {
    this.servers = servers;
  }

  static async start(flavour: Flavour): Promise<RedisCluster> {
    const settings = {
      "cluster-enabled": "yes",
      "cluster-node-timeout": "1000",
      "cluster-replica-validity-factor": "0",
      // Else the first copy to a replica starts after 5 s, and a master that dies before has no heir.
      "repl-diskless-sync-delay": "0",
    };
    const servers = await RedisServer.startAll(
      Array.from({ length: 2 * NUM_MASTERS }, () => ({ flavour, settings })),
    );
    const cluster = new RedisCluster(servers);
    await cluster.#join();
    return cluster;
  }

  get url(): string {
    const [first, second] = this.servers;
    return `redis-cluster://127.0.0.1:${first!.port},127.0.0.1:${second!.port}`;
  }

  async clear(): Promise<void> {
    for (const server of this.servers) {
      // On a replica, or one that is dead, there is nothing to clear.
      await server.call("FLUSHALL").catch(() => {});
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.servers.map((server) => server[Symbol.asyncDispose]()));
  }

  async #join(): Promise<void> {
    const [first] = this.servers;
    for (const [index, server] of this.servers.entries()) {
      await server.call("CLUSTER", "SET-CONFIG-EPOCH", index + 1);
      await first!.call("CLUSTER", "MEET", "127.0.0.1", server.port, server.busPort);
      if (index < NUM_MASTERS) {
        const from = Math.floor((index * NUM_SLOTS) / NUM_MASTERS);
        const to = Math.floor(((index + 1) * NUM_SLOTS) / NUM_MASTERS) - 1;
        await server.call("CLUSTER", "ADDSLOTSRANGE", from, to);
      }
    }
    await this.#all(async (server) => (await knownNodes(server)) === this.servers.length);
    for (const [index, master] of this.servers.slice(0, NUM_MASTERS).entries()) {
      const id = await master.call("CLUSTER", "MYID");
      await this.servers[index + NUM_MASTERS]!.call("CLUSTER", "REPLICATE", String(id));
    }
    await this.#all(async (server) => {
      const cluster = String(await server.call("CLUSTER", "INFO"));
      const replication = String(await server.call("INFO", "replication"));
      return (
        cluster.includes("cluster_state:ok") &&
        /role:master\r\nconnected_slaves:1|master_link_status:up/.test(replication)
      );
    });
  }

  async #all(isSo: (server: RedisServer) => Promise<boolean>): Promise<void> {
    for (const server of this.servers) {
      await eventually(`the cluster agrees (port ${server.port})`, () => isSo(server));
    }
  }
}

async function knownNodes(server: RedisServer): Promise<number> {
  const nodes = String(await server.call("CLUSTER", "NODES"));
  return nodes.split("\n").filter((line) => line !== "" && !line.includes("handshake")).length;
}
