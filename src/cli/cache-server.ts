import { UsageError, messageOf } from "../core/index.ts";
import type {
  CacheClearResponse,
  CacheLookupResponse,
  CacheMoveResponse,
  CachePinResponse,
  CachePrefetchResponse,
  CacheStatsResponse,
  CacheUnpinResponse,
} from "../openai/index.ts";

/** Longer than the server makes anybody wait. */
const TIMEOUT_MS = 310_000;

export type PromptBody = Readonly<Record<string, unknown>>;

/** The cache of a running server, through its HTTP API. */
export class CacheServer {
  readonly url: string;
  readonly #apiKey: string | undefined;

  /**
   * @param url where it listens; the "/v1" of an OpenAI client's address may be there
   * @throws UsageError when it is no address
   */
  constructor(url: string, apiKey: string | undefined) {
    this.url = checkUrl(url);
    this.#apiKey = apiKey;
  }

  stats(): Promise<CacheStatsResponse> {
    return this.#send("GET", "/cache/stats");
  }

  lookup(body: PromptBody): Promise<CacheLookupResponse> {
    return this.#send("POST", "/cache/lookup", body);
  }

  /** Begins it, and waits for its end or for as long as the server lets one wait. */
  prefetch(body: PromptBody, mustWait: boolean): Promise<CachePrefetchResponse> {
    return this.#send("POST", `/cache/prefetch?wait=${mustWait}`, body);
  }

  waitForPrefetch(id: string): Promise<CachePrefetchResponse> {
    return this.#send("GET", `/cache/prefetch/${encodeURIComponent(id)}?wait=true`);
  }

  pin(body: PromptBody): Promise<CachePinResponse> {
    return this.#send("POST", "/cache/pin", body);
  }

  unpin(body: PromptBody): Promise<CacheUnpinResponse> {
    return this.#send("POST", "/cache/unpin", body);
  }

  move(body: PromptBody): Promise<CacheMoveResponse> {
    return this.#send("POST", "/cache/move", body);
  }

  /** @param body the prompt to drop; undefined: everything */
  clear(tiers: readonly string[], body: PromptBody | undefined): Promise<CacheClearResponse> {
    const query = new URLSearchParams(
      tiers.map((tier): [string, string] => ["tier", tier]),
    ).toString();
    return this.#send("DELETE", query === "" ? "/cache" : `/cache?${query}`, body);
  }

  async #send<Answer>(method: string, path: string, body?: PromptBody): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (this.#apiKey !== undefined) headers["authorization"] = `Bearer ${this.#apiKey}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    let response: Response;
    let text: string;
    try {
      response = await fetch(this.url + path, {
        method,
        headers,
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      text = await response.text();
    } catch (error) {
      throw new Error(`Cannot reach ${this.url}: ${reasonOf(error)}`, { cause: error });
    }
    const answer = parseJson(text);
    if (response.ok && answer !== undefined) return answer as Answer;
    throw this.#failure(response.status, method, path, answer);
  }

  #failure(status: number, method: string, path: string, answer: unknown): Error {
    const { message, code } = errorOf(answer);
    if (message === undefined || (status === 404 && code === "not_found")) {
      const said = message === undefined ? "" : `: ${message}`;
      return new Error(`${this.url} answered ${status} to ${method} ${path}${said}`);
    }
    return status === 400
      ? new UsageError(message)
      : new Error(`${this.url} answered ${status}: ${message}`);
  }
}

function checkUrl(text: string): string {
  const isHttp = /^https?:\/\//i.test(text) && URL.canParse(text);
  if (isHttp) return text.replace(/\/+$/, "").replace(/\/v1$/, "");
  throw new UsageError(
    `Cannot use --url "${text}": wanted an address such as http://127.0.0.1:8000`,
    {
      param: "--url",
    },
  );
}

/** fetch says only that it failed; why is in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  return messageOf(cause) || "the connection failed";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What an answer in OpenAI's shape says; nothing of any other. */
function errorOf(answer: unknown): { message?: string | undefined; code?: string | undefined } {
  const { error } = Object(answer) as { error?: unknown };
  const { message, code } = Object(error) as { message?: unknown; code?: unknown };
  return {
    message: typeof message === "string" ? message : undefined,
    code: typeof code === "string" ? code : undefined,
  };
}
