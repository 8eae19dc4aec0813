import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { UsageError } from "../../core/index.ts";

/** Where models come from and where they are kept, as huggingface_hub's environment variables say. */
export interface HubSettings {
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** A secret: it goes to the endpoint's own origin and into no message. */
  readonly token: string | undefined;
  /** Shared with huggingface_hub and llama.cpp: models--owner--repo/{blobs,refs,snapshots}. */
  readonly cacheDir: string;
  /** HF_HUB_OFFLINE: ask nobody. */
  readonly isOffline: boolean;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = "https://huggingface.co";
const IS_TRUE = /^(1|on|yes|true)$/i;

/**
 * @param downloadDir wins over the cache that the environment names
 * @throws UsageError for an HF_ENDPOINT that is no address
 */
export function readHubSettings(env: Environment, downloadDir?: string): HubSettings {
  const home =
    env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "huggingface");
  const cacheDir =
    downloadDir ?? (env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || join(home, "hub"));
  return {
    endpoint: readEndpoint(env["HF_ENDPOINT"]),
    token: readToken(env, home),
    cacheDir: resolve(cacheDir),
    isOffline: IS_TRUE.test(env["HF_HUB_OFFLINE"] ?? ""),
  };
}

function readEndpoint(text: string | undefined): string {
  const endpoint = (text || DEFAULT_ENDPOINT).replace(/\/+$/, "");
  if (URL.canParse(endpoint) && /^https?:/.test(endpoint)) return endpoint;
  throw new UsageError(`Cannot use HF_ENDPOINT "${endpoint}": wanted an http or https address`, {
    param: "HF_ENDPOINT",
  });
}

/** From the environment, or as `hf auth login` has left it. */
function readToken(env: Environment, home: string): string | undefined {
  const fromEnv = env["HF_TOKEN"] || env["HUGGING_FACE_HUB_TOKEN"];
  if (fromEnv) return checkToken(fromEnv.trim());
  try {
    return checkToken(readFileSync(env["HF_TOKEN_PATH"] || join(home, "token"), "utf8").trim());
  } catch (error) {
    if (error instanceof UsageError) throw error;
    return undefined;
  }
}

/** What cannot stand in a header would be quoted in fetch's own message. */
function checkToken(token: string): string | undefined {
  if (/^[\x21-\x7e]*$/.test(token)) return token === "" ? undefined : token;
  throw new UsageError(
    "Cannot use the Hugging Face token: wanted letters and digits alone, and it holds other characters",
    { param: "HF_TOKEN" },
  );
}
