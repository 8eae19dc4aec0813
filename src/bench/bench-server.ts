import OpenAI from "openai";
import { UsageError } from "../core/index.ts";
import { patientFetch } from "./patient-fetch.ts";
import { ServerProcess } from "./server-process.ts";

/** A server that is measured: one of our own, or one that somebody else runs. */
export interface BenchServer extends AsyncDisposable {
  /** With /v1. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly model: string;
  readonly client: OpenAI;
  /** How it was started; undefined for one that ran already. */
  readonly args: readonly string[] | undefined;
  /** What it logged so far; empty for servers of others. */
  readonly logLines: readonly string[];
}

export interface OwnServerOptions {
  readonly model: string;
  /** Prompt and answer together. */
  readonly maxModelLen: number;
  readonly numThreads: number;
  readonly isCacheOn: boolean;
  /** More flags for `warmkv serve`; they come last, so they win. */
  readonly serveArgs: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

export interface GivenServerOptions {
  readonly url: string;
  readonly apiKey: string;
  /** The first that the server names by default. */
  readonly model?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Serves what is measured unless somebody names another. */
export const DEFAULT_MODEL = "synth:25m";

/** What a server may add to a prompt (BOS), and a prompt whose length was only estimated. */
export const SPARE_TOKENS = 256;

const KV_TRANSFER_CONFIG = JSON.stringify({
  kv_connector: "LMCacheConnectorV1",
  kv_role: "kv_both",
});

/** Two prompts of 16,000 tokens of a model of 25 million parameters, and room. */
const DEFAULT_CPU_SIZE_GB = "2";

/** Bounds one request: a prompt of 100,000 tokens on a slow CPU takes less. */
const REQUEST_TIMEOUT_MS = 2 * 3600_000;

/** Starts `warmkv serve` in a process of its own. LMCACHE_* variables of the caller win over the defaults here. */
export async function startOwnServer(options: OwnServerOptions): Promise<BenchServer> {
  const args = [
    "serve",
    options.model,
    "--port=0",
    `--threads=${options.numThreads}`,
    `--max-model-len=${options.maxModelLen}`,
    // What is measured is the cache outside the engine.
    "--no-enable-prefix-caching",
    ...(options.isCacheOn ? [`--kv-transfer-config=${KV_TRANSFER_CONFIG}`] : []),
    ...options.serveArgs,
  ];
  const env = options.isCacheOn
    ? { LMCACHE_MAX_LOCAL_CPU_SIZE: DEFAULT_CPU_SIZE_GB, ...options.env }
    : withoutCacheSettings(options.env);
  const server = await ServerProcess.start({
    args,
    // Nobody but us talks to this one.
    env: { ...env, VLLM_API_KEY: undefined },
    signal: options.signal,
  });
  try {
    const given = await connectServer({ url: server.url, apiKey: "none", signal: options.signal });
    return {
      ...given,
      args,
      logLines: server.logLines,
      [Symbol.asyncDispose]: () => server.stop(),
    };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Whether `warmkv serve` would keep KV with this environment and no flags. */
export function hasCacheSettings(env: NodeJS.ProcessEnv): boolean {
  return Object.keys(env).some(isCacheSetting);
}

function withoutCacheSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !isCacheSetting(name)));
}

/** Each of these variables switches the cache on. */
function isCacheSetting(name: string): boolean {
  return name.startsWith("LMCACHE_");
}

/** @throws UsageError when the URL is none, or nobody answers there */
export async function connectServer(options: GivenServerOptions): Promise<BenchServer> {
  const baseUrl = toBaseUrl(options.url);
  const client = new OpenAI({
    baseURL: baseUrl,
    apiKey: options.apiKey,
    fetch: patientFetch,
    maxRetries: 0,
    timeout: REQUEST_TIMEOUT_MS,
  });
  return {
    baseUrl,
    apiKey: options.apiKey,
    model: options.model ?? (await firstModel(client, baseUrl, options.signal)),
    client,
    args: undefined,
    logLines: [],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function firstModel(
  client: OpenAI,
  baseUrl: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  try {
    const { data } = await client.models.list({ signal });
    if (data[0]) return data[0].id;
  } catch (error) {
    signal?.throwIfAborted();
    throw new UsageError(`Cannot ask ${baseUrl} for its models: ${describe(error)}`, {
      cause: error,
    });
  }
  throw new UsageError(`Cannot use ${baseUrl}: it names no model; say which with --model`);
}

/** The client's own message for a dead port is "Connection error."; the reason is in its cause. */
function describe(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message} ${cause.message}` : message;
}

function toBaseUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    throw new UsageError(
      `Cannot use the URL "${text}": wanted one such as http://127.0.0.1:8000/v1`,
      { param: "--url" },
    );
  }
  return url.pathname === "/" ? `${url.origin}/v1` : url.href.replace(/\/$/, "");
}
