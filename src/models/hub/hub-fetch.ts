import { UsageError, messageOf } from "../../core/index.ts";
import type { HubSettings } from "./hub-settings.ts";

/** Nobody answered, or only to say that now is not the time. What is in the cache may do instead. */
export class HubUnavailableError extends Error {
  override readonly name = "HubUnavailableError";
}

export interface HubFetchOptions {
  readonly settings: HubSettings;
  /** "owner/repo", for messages. */
  readonly repository: string;
  readonly signal?: AbortSignal | undefined;
  /** Rejects when the signal is aborted. */
  readonly sleep: Sleep;
  /** Tries of one request. Default 4. */
  readonly maxTries?: number | undefined;
}

export type Sleep = (delayMs: number, signal: AbortSignal | undefined) => Promise<void>;

const DEFAULT_MAX_TRIES = 4;
/** For an answer to begin. */
const ANSWER_TIMEOUT_MS = 15_000;
const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 8000;
/** Servers may ask for longer; nobody who looks at a prompt wants to wait so. */
const MAX_RETRY_AFTER_MS = 60_000;

/** How long to wait before try number `numTries + 1`. */
export function retryDelayMs(numTries: number): number {
  return Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (numTries - 1));
}

/**
 * fetch for the hub: sends the token to the hub's own origin and nowhere else, tries again what may work
 * the next time, and turns every refusal into a sentence.
 *
 * @throws HubUnavailableError, UsageError (what was asked for is not there or not allowed)
 */
export function createHubFetch(options: HubFetchOptions): typeof fetch {
  const { settings, signal, sleep, maxTries = DEFAULT_MAX_TRIES } = options;
  const { origin } = new URL(settings.endpoint);
  return async function hubFetch(input, init) {
    const url = input instanceof Request ? input.url : String(input);
    const headers = new Headers(init?.headers);
    if (settings.token !== undefined && new URL(url).origin === origin) {
      headers.set("authorization", `Bearer ${settings.token}`);
    }
    for (let numTries = 1; ; numTries++) {
      const outcome = await tryOnce(url, { ...init, headers }, signal);
      if (outcome instanceof Response && outcome.ok) return outcome;
      const reason = outcome instanceof Response ? `HTTP ${outcome.status}` : outcome.reason;
      if (outcome instanceof Response && !isTransient(outcome.status)) {
        throw await refusal(outcome, options);
      }
      if (numTries >= maxTries) {
        throw new HubUnavailableError(`${settings.endpoint} does not answer (${reason})`);
      }
      const askedMs = outcome instanceof Response ? retryAfterMs(outcome) : 0;
      if (outcome instanceof Response) await outcome.body?.cancel();
      await sleep(Math.max(retryDelayMs(numTries), askedMs), signal);
    }
  };
}

async function tryOnce(
  url: string,
  init: RequestInit,
  signal: AbortSignal | undefined,
): Promise<Response | { readonly reason: string }> {
  const timeout = new AbortController();
  const timer = setTimeout(
    () => timeout.abort(new Error(`no answer within ${ANSWER_TIMEOUT_MS / 1000} s`)),
    ANSWER_TIMEOUT_MS,
  );
  const signals = [timeout.signal, signal, init.signal].filter((one) => one != null);
  try {
    return await fetch(url, { ...init, signal: AbortSignal.any(signals) });
  } catch (error) {
    signal?.throwIfAborted();
    init.signal?.throwIfAborted();
    return { reason: networkReason(error) };
  } finally {
    clearTimeout(timer);
  }
}

/** fetch says "fetch failed"; what is behind that says why. */
export function networkReason(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const { code } = (cause ?? {}) as NodeJS.ErrnoException;
  return code ?? messageOf(cause ?? error);
}

function isTransient(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function retryAfterMs(response: Response): number {
  const seconds = Number(response.headers.get("retry-after"));
  return Number.isFinite(seconds) ? Math.min(MAX_RETRY_AFTER_MS, seconds * 1000) : 0;
}

async function refusal(response: Response, options: HubFetchOptions): Promise<Error> {
  const { settings, repository } = options;
  const { status } = response;
  const code = response.headers.get("x-error-code") ?? "";
  await response.body?.cancel();
  const page = `${settings.endpoint}/${repository}`;
  const withToken = settings.token === undefined ? "set HF_TOKEN" : "HF_TOKEN does not open it";
  if (code === "GatedRepo") {
    return new UsageError(
      `Cannot load "${repository}": its owner asks for consent; give it at ${page}, and ${settings.token === undefined ? withToken : "check that HF_TOKEN is of that account"}`,
    );
  }
  if (code === "RevisionNotFound") {
    return new UsageError(`Cannot load "${repository}": it has no such --revision`, {
      param: "--revision",
    });
  }
  // The hub does not say which of the two it is: that would tell of private repositories.
  if (status === 401 || status === 403 || status === 404) {
    return new UsageError(
      `Cannot find "${repository}": there is no such file here, and ${settings.endpoint} has no such repository, or it is private (${withToken})`,
    );
  }
  return new Error(`Cannot load "${repository}": ${settings.endpoint} answered HTTP ${status}`);
}
