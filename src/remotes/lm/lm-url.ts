import { UsageError } from "../../core/index.ts";
import type { LmForm } from "../../protocol/index.ts";

export interface LmHost {
  readonly host: string;
  readonly port: number;
}

export interface LmUrl {
  readonly hosts: readonly LmHost[];
  readonly isTls: boolean;
  readonly token: string | undefined;
  /** How old the server is; undefined: current, and perhaps one of ours. */
  readonly form: LmForm | undefined;
  /** For logs: without the token. */
  readonly address: string;
}

const WANTED =
  "wanted lm://host:port[,host:port...], lms:// for TLS, a token in front of an @, and ?tls=1 or ?form=2025";

/**
 * Reads `lm://[token@]host:port[,host:port...][?tls=1][&form=2025]`.
 *
 * @throws UsageError that names what was wanted, and no token
 */
export function parseLmUrl(url: string): LmUrl {
  const match = /^(lms?):\/\/(?:([^/?#]*)@)?([^/?#@]+)\/?(?:\?([^#]*))?$/i.exec(url);
  if (match === null) throw refused(url);
  const [, scheme = "", user, list = "", query = ""] = match;
  const hosts = list.split(",").map((text) => parseHost(text) ?? fail(url));
  const names = hosts.map(hostName);
  if (new Set(names).size < names.length) throw refused(url);
  const settings = new URLSearchParams(query);
  let isTls = scheme.toLowerCase() === "lms";
  let form: LmForm | undefined;
  for (const [key, value] of settings) {
    if (key === "tls" && /^[01]$/.test(value)) isTls = value === "1";
    else if (key === "form" && (value === "2025" || value === "2024")) form = value;
    else throw refused(url);
  }
  const address = `${isTls ? "lms" : "lm"}://${names.join(",")}`;
  return { hosts, isTls, token: tokenOf(user, url), form, address };
}

/** A server's own name: what decides which values are its. */
export function hostName({ host, port }: LmHost): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function parseHost(text: string): LmHost | undefined {
  const match = /^(?:\[([0-9a-f:.%\w]+)\]|([^:[\]\s]+)):(\d{1,5})$/i.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port < 1 || port > 65_535) return undefined;
  return { host: match[1] ?? match[2]!, port };
}

/** A password where there is one, as in other URLs; else what stands in front of the @. */
function tokenOf(user: string | undefined, url: string): string | undefined {
  if (!user) return undefined;
  try {
    return decodeURIComponent(user.slice(user.indexOf(":") + 1));
  } catch {
    throw refused(url);
  }
}

function fail(url: string): never {
  throw refused(url);
}

function refused(url: string): UsageError {
  const shown = url.replace(/\/\/[^/?#]*@/, "//***@");
  return new UsageError(`Cannot use "${shown}": ${WANTED}`, { param: "remote_url" });
}
