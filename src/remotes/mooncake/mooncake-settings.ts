import { readFile } from "node:fs/promises";
import { UsageError, messageOf } from "../../core/index.ts";

/** LMCache's names and defaults, as far as they concern a client that lends no memory. */
export interface MooncakeSettings {
  readonly master: HostAndPort;
  /** `http(s)://...`: where segments are looked up. Undefined: asked of their owners (P2PHANDSHAKE). */
  readonly metadataUrl: string | undefined;
}

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

export type MooncakeConfig = Readonly<Record<string, unknown>>;

const DEFAULT_MASTER_PORT = 50051;
/** Where the master serves metadata itself when told to. */
const DEFAULT_METADATA_PORT = 8080;
const P2P = "P2PHANDSHAKE";

/**
 * `mooncakestore://host:port/`, where the host may be left out if the configuration names the master. Parameters of
 * the URL are configuration too, and win over the rest.
 *
 * @throws UsageError for what cannot be, or what needs more than TCP
 */
export function readMooncakeSettings(url: string, config: MooncakeConfig): MooncakeSettings {
  const parts = /^mooncakestore:\/\/([^/?#,]*)\/?(?:\?([^#]*))?$/i.exec(url);
  if (parts === null) throw wrong(`"${url}"`, "one host, such as mooncakestore://localhost:50051");
  const [, authority = "", query] = parts;
  const all: MooncakeConfig = { ...config, ...Object.fromEntries(new URLSearchParams(query)) };
  const protocol = textOf(all, "protocol") ?? "tcp";
  if (protocol !== "tcp") throw wrong(`protocol "${protocol}"`, `"tcp"`);
  const address = authority === "" ? textOf(all, "master_server_address") : authority;
  if (address === undefined) {
    throw wrong(`"${url}"`, "a host in it, or master_server_address");
  }
  const master = readHostAndPort(address);
  return { master, metadataUrl: readMetadataUrl(textOf(all, "metadata_server"), master) };
}

/** @throws UsageError where the file that MOONCAKE_CONFIG_PATH names cannot be read as a JSON object */
export async function readMooncakeConfigFile(path: string): Promise<MooncakeConfig> {
  try {
    const config: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof config === "object" && config !== null) return config as MooncakeConfig;
    throw new Error("it is no JSON object");
  } catch (error) {
    throw new UsageError(
      `Cannot read MOONCAKE_CONFIG_PATH "${path}" as JSON: ${messageOf(error)}`,
      { param: "MOONCAKE_CONFIG_PATH", cause: error },
    );
  }
}

function readMetadataUrl(text: string | undefined, master: HostAndPort): string | undefined {
  if (text === P2P) return undefined;
  const host = master.host.includes(":") ? `[${master.host}]` : master.host;
  const url = text ?? `http://${host}:${DEFAULT_METADATA_PORT}/metadata`;
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw wrong(`metadata_server "${url}"`, `an http:// address or "${P2P}"`);
  }
  return url;
}

function readHostAndPort(address: string): HostAndPort {
  const parts = /^(?:\[([0-9a-f:.]+)\]|([^:[\]@]+))(?::(\d{1,5}))?$/i.exec(address);
  const port = Number(parts?.[3] ?? DEFAULT_MASTER_PORT);
  if (parts === null || port < 1 || port > 65_535) {
    throw wrong(`the master's address "${address}"`, "host:port, such as localhost:50051");
  }
  return { host: (parts[1] ?? parts[2])!, port };
}

function textOf(config: MooncakeConfig, name: string): string | undefined {
  const value = config[name];
  if (value === undefined || value === null || value === "") return undefined;
  if (typeof value !== "string") throw wrong(`${name} ${JSON.stringify(value)}`, "a string");
  return value;
}

function wrong(what: string, wanted: string): UsageError {
  return new UsageError(`Cannot use ${what} for mooncakestore: wanted ${wanted}`, {
    param: "remote_url",
  });
}
