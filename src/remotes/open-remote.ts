import { UsageError } from "../core/index.ts";
import type { RemoteOptions } from "./remote-options.ts";
import { type RemoteSettings, integerSetting, textSetting } from "./remote-settings.ts";
import type { RemoteStore } from "./remote-store.ts";

export interface OpenRemoteOptions extends RemoteOptions {
  /** LMCache's `extra_config`: what the scheme reads of it is in docs/remote.md. */
  readonly extraConfig?: RemoteSettings | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

type OpenRemote = (url: string, options: OpenRemoteOptions) => Promise<RemoteStore>;

/** Each is loaded when it is asked for: most processes need one of them, or none. */
const openers: Readonly<Record<string, OpenRemote>> = {
  lm: async (url, options) => (await import("./lm/index.ts")).openLmRemote(url, options),
  redis: openRedis,
  mooncakestore: async (url, options) => {
    const { openMooncakeRemote } = await import("./mooncake/index.ts");
    return await openMooncakeRemote(url, {
      ...options,
      configPath: textSetting(options.env ?? {}, "MOONCAKE_CONFIG_PATH"),
    });
  },
  infinistore: async (url, options) =>
    (await import("./infinistore/index.ts")).openInfinistoreRemote(url, options),
  fs: async (url, options) => (await import("./fs.ts")).openFsRemote(url, options),
  mock: async (url, { clock }) => (await import("./mock.ts")).openMockRemote(url, clock),
  blackhole: async () => (await import("./blackhole.ts")).openBlackholeRemote(),
};

const redisSchemes = ["redis", "valkey"].flatMap((server) => [
  ...["", "s"].flatMap((tls) => ["", "-sentinel", "-cluster"].map((kind) => server + tls + kind)),
  `${server}+unix`,
]);

const REMOTES: ReadonlyMap<string, OpenRemote> = new Map([
  ...Object.entries(openers),
  ["lms", openers["lm"]!],
  ...[...redisSchemes, "unix"].map((scheme) => [scheme, openRedis] as const),
]);

export const remoteSchemes: readonly string[] = [...REMOTES.keys()];

/**
 * Opens the store that a `remote_url` names. Nothing is connected to yet.
 *
 * @throws UsageError for an address or settings that cannot be
 */
export async function openRemote(url: string, options: OpenRemoteOptions): Promise<RemoteStore> {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase();
  const open = REMOTES.get(scheme ?? "");
  if (open !== undefined) return await open(url, options);
  const said = scheme === undefined ? "without a scheme" : `with the scheme "${scheme}"`;
  throw new UsageError(
    `Cannot use a remote_url ${said}: wanted one of ${remoteSchemes.join(", ")}`,
    { param: "remote_url" },
  );
}

/** LMCache has these settings for Valkey, and the name of a Sentinel's master in the environment. */
async function openRedis(url: string, options: OpenRemoteOptions): Promise<RemoteStore> {
  const { extraConfig = {}, env = {}, token } = options;
  const { openRedisRemote } = await import("./redis/index.ts");
  return openRedisRemote(url, {
    ...options,
    username: textSetting(extraConfig, "valkey_username"),
    token: token ?? textSetting(extraConfig, "valkey_password"),
    database: integerSetting(extraConfig, "valkey_database", 0),
    ttlSeconds: integerSetting(extraConfig, "valkey_ttl_sec", 1),
    masterName: textSetting(env, "REDIS_SERVICE_NAME"),
  });
}
