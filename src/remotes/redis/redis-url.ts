import { UsageError } from "../../core/index.ts";

/** What a URL says about where Redis or Valkey is, checked. */
export interface RedisUrl {
  readonly topology:
    /** One server. */
    | "single"
    /** The sentinels' addresses: they know which server is the master. */
    | "sentinel"
    /** Some nodes' addresses: they know the others and who has which slot. */
    | "cluster";
  readonly nodes: readonly RedisNode[];
  readonly isTls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** The sentinels' name for the master, if the URL has it. */
  readonly masterName: string | undefined;
  /** Values are forgotten after this time, if the URL says so. */
  readonly ttlSeconds: number | undefined;
  /** The URL without user and password. */
  readonly display: string;
}

export type RedisNode =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

export function nodeName(node: RedisNode): string {
  return "path" in node ? node.path : `${node.host}:${node.port}`;
}

const SCHEME = /^(?:(?:redis|valkey)(s?)(-sentinel|-cluster|\+unix)?|(unix)):\/\//i;
const PARAMETERS = ["db", "service_name", "ttl_sec"];
const DEFAULT_PORT = 6379;
const DEFAULT_SENTINEL_PORT = 26379;

/** @throws UsageError that shows the URL without its user and password */
export function parseRedisUrl(url: string): RedisUrl {
  const scheme = SCHEME.exec(url);
  const afterScheme = url.slice(scheme?.[0].length ?? 0);
  const authority = afterScheme.split(/[/?#]/, 1)[0]!;
  const credentialsEnd = authority.lastIndexOf("@") + 1;
  const location = afterScheme.slice(credentialsEnd);
  const display = `${scheme?.[0] ?? ""}${location}`;
  const refuse = (wanted: string): UsageError =>
    new UsageError(`Cannot use "${display}" as the address of a Redis or Valkey: ${wanted}`, {
      param: "remote_url",
    });
  if (!scheme) throw refuse('wanted a scheme such as "redis://", "rediss-cluster://" or "unix://"');

  const [place = "", query = ""] = location.split("?", 2);
  const settings = parseQuery(query, refuse);
  const credentials = parseCredentials(authority.slice(0, credentialsEnd), refuse);
  const rest = {
    isTls: scheme[1] === "s",
    ...credentials,
    masterName: settings.masterName,
    ttlSeconds: settings.ttlSeconds,
    display,
  };

  if (scheme[3] || scheme[2] === "+unix") {
    if (rest.isTls) throw refuse("TLS is not spoken on a Unix socket");
    if (!place.startsWith("/"))
      throw refuse('wanted an absolute path, as in "unix:///run/redis.sock"');
    const database = parseDatabase(settings.database ?? "", refuse);
    return { topology: "single", nodes: [{ path: decode(place, refuse) }], database, ...rest };
  }

  const topology = (scheme[2]?.slice(1) ?? "single") as RedisUrl["topology"];
  const slash = place.indexOf("/");
  const hosts = slash === -1 ? place : place.slice(0, slash);
  const database = parseDatabase(settings.database ?? place.slice(hosts.length + 1), refuse);
  const defaultPort = topology === "sentinel" ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT;
  const nodes = hosts.split(",").map((host) => parseHost(host, defaultPort, refuse));
  if (topology === "single" && nodes.length > 1) {
    throw refuse('several hosts need "redis-sentinel://" or "redis-cluster://"');
  }
  return { topology, nodes, database, ...rest };
}

type Refuse = (wanted: string) => UsageError;

function parseCredentials(
  text: string,
  refuse: Refuse,
): { username: string | undefined; password: string | undefined } {
  if (text === "") return { username: undefined, password: undefined };
  const credentials = text.slice(0, -1);
  const colon = credentials.indexOf(":");
  const username = colon === -1 ? credentials : credentials.slice(0, colon);
  const password = colon === -1 ? "" : credentials.slice(colon + 1);
  return {
    username: decode(username, refuse) || undefined,
    password: decode(password, refuse) || undefined,
  };
}

function parseHost(text: string, defaultPort: number, refuse: Refuse): RedisNode {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+))(?::(\d{1,5}))?$/.exec(text);
  const port = match?.[3] === undefined ? defaultPort : Number(match[3]);
  if (!match || port < 1 || port > 65_535) {
    throw refuse(`wanted a host and a port of 1 to 65535 instead of "${text}"`);
  }
  return { host: match[1] ?? match[2]!, port };
}

function parseDatabase(text: string, refuse: Refuse): number {
  if (!/^\d{0,6}$/.test(text)) throw refuse(`wanted a number as the database instead of "${text}"`);
  return Number(text);
}

interface Settings {
  readonly database: string | undefined;
  readonly masterName: string | undefined;
  readonly ttlSeconds: number | undefined;
}

function parseQuery(query: string, refuse: Refuse): Settings {
  const parameters = new URLSearchParams(query);
  for (const name of parameters.keys()) {
    if (!PARAMETERS.includes(name)) {
      throw refuse(`wanted one of ${PARAMETERS.join(", ")} instead of the parameter "${name}"`);
    }
  }
  const ttl = parameters.get("ttl_sec");
  if (ttl !== null && !/^[1-9]\d{0,8}$/.test(ttl)) {
    throw refuse(`wanted a number of seconds above 0 as ttl_sec instead of "${ttl}"`);
  }
  return {
    database: parameters.get("db") ?? undefined,
    masterName: parameters.get("service_name") ?? undefined,
    ttlSeconds: ttl === null ? undefined : Number(ttl),
  };
}

function decode(text: string, refuse: Refuse): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw refuse("a percent sign has to be written as %25");
  }
}
