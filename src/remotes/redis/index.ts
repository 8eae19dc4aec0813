import type { ConnectionOptions } from "node:tls";
import { UsageError } from "../../core/index.ts";
import type { RemoteOptions } from "../remote-options.ts";
import type { RemoteStore } from "../remote-store.ts";
import { clusterSlots } from "./cluster-slots.ts";
import { RedisRemote } from "./redis-remote.ts";
import { type RedisUrl, parseRedisUrl } from "./redis-url.ts";
import { sentinelMaster } from "./sentinel-master.ts";
import { AskedTopology, SingleTopology, type Topology } from "./topology.ts";

/** What the URL says goes before. `token` is the password. */
export interface RedisRemoteOptions extends RemoteOptions {
  readonly username?: string | undefined;
  readonly database?: number | undefined;
  /** The sentinels' name for the master; LMCache's "redismaster" if nobody says. */
  readonly masterName?: string | undefined;
  /** The sentinels' own password; by default they have none. */
  readonly sentinelPassword?: string | undefined;
  /** Values are forgotten after this time. Undefined: when Redis evicts them. */
  readonly ttlSeconds?: number | undefined;
}

const DEFAULT_MASTER_NAME = "redismaster";

/**
 * For redis://, valkey://, their TLS forms rediss:// and valkeys://, each of these with -sentinel or -cluster, and
 * Unix sockets (unix://, redis+unix://, valkey+unix://). Connects to nothing yet.
 *
 * @throws UsageError
 */
export function openRedisRemote(url: string, options: RedisRemoteOptions): RemoteStore {
  const parsed = parseRedisUrl(url);
  const tls = parsed.isTls ? (options.tls ?? {}) : undefined;
  const username = parsed.username ?? options.username;
  const password = parsed.password ?? options.token;
  const database = parsed.database || (options.database ?? 0);
  if (parsed.topology === "cluster" && database !== 0) {
    throw new UsageError(
      `Cannot use database ${database} of ${parsed.display}: a cluster has 0 only`,
    );
  }
  return new RedisRemote({
    address: parsed.display,
    topology: topologyOf(parsed, options, { username, password, tls }),
    isCluster: parsed.topology === "cluster",
    session: {
      username,
      password,
      tls,
      database,
      timeoutMs: options.timeoutMs,
    },
    ttlSeconds: parsed.ttlSeconds ?? options.ttlSeconds,
    options,
  });
}

interface Access {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: ConnectionOptions | undefined;
}

function topologyOf(url: RedisUrl, options: RedisRemoteOptions, access: Access): Topology {
  const { nodes } = url;
  const { timeoutMs, random, clock } = options;
  switch (url.topology) {
    case "single":
      return new SingleTopology(nodes[0]!);
    case "cluster":
      return new AskedTopology(clusterSlots(nodes, { ...access, timeoutMs, random }), clock);
    case "sentinel": {
      const masterName = url.masterName ?? options.masterName ?? DEFAULT_MASTER_NAME;
      const password = options.sentinelPassword;
      const sentinelAccess = { ...access, username: undefined, password, timeoutMs, random };
      return new AskedTopology(sentinelMaster(nodes, masterName, sentinelAccess), clock);
    }
  }
}
