import { type IncomingMessage, request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Clock } from "../core/index.ts";
import { EventLog, type TimedEvent } from "./event-log.ts";

/** When the tokens of one streamed completion came. */
export interface TokenStream {
  readonly sentMs: number;
  /** One for each event with a token or more. At least one. */
  readonly arrivalsMs: readonly number[];
  /** As the server counts; where it does not say, one for each event. */
  readonly numTokens: number;
  /** Undefined where the server does not report them. */
  readonly numPromptTokens: number | undefined;
  readonly numCachedTokens: number | undefined;
}

export interface TokenStreamRequest {
  /** With /v1. */
  readonly baseUrl: string;
  readonly apiKey: string;
  readonly body: object;
}

/** No answer that is asked for here comes near. */
const MAX_STREAM_BYTES = 2 ** 28;
/** A prompt of 100,000 tokens on a slow CPU takes less. */
const SILENCE_TIMEOUT_MS = 2 * 3600_000;

/** The server has refused the request. */
export class RefusedError extends Error {
  readonly status: number;

  constructor(url: string, status: number, body: string) {
    super(`${url} answered ${status}: ${body}`);
    this.status = status;
  }
}

/**
 * Streams one completion over a connection of its own, with as little work as can be while tokens come.
 *
 * @throws RefusedError for any status but 200; Error when no token comes, or the stream reports one
 */
export async function streamTokens(
  request: TokenStreamRequest,
  clock: Clock,
  signal?: AbortSignal,
): Promise<TokenStream> {
  const log = new EventLog();
  const body = Buffer.from(JSON.stringify(request.body));
  const url = `${request.baseUrl}/completions`;
  const sentMs = clock.nowMs();
  const response = await send(url, request.apiKey, body, signal);
  await read(response, log, clock);
  if (response.statusCode !== 200) throw new RefusedError(url, response.statusCode!, log.text());
  return toTokenStream(sentMs, log.events());
}

function send(
  url: string,
  apiKey: string,
  body: Buffer,
  signal: AbortSignal | undefined,
): Promise<IncomingMessage> {
  const start = url.startsWith("https:") ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = start(
      url,
      {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "content-length": body.length,
          authorization: `Bearer ${apiKey}`,
        },
        // A kept connection may be closed by the server in the moment it is used again.
        agent: false,
        timeout: SILENCE_TIMEOUT_MS,
        signal,
      },
      resolve,
    );
    request.on("timeout", () => request.destroy(new Error(`${url} has been silent for too long`)));
    request.on("error", reject);
    request.end(body);
  });
}

function read(response: IncomingMessage, log: EventLog, clock: Clock): Promise<void> {
  return new Promise((resolve, reject) => {
    response.on("data", (bytes: Buffer) => {
      log.add(bytes, clock.nowMs());
      if (log.numBytes > MAX_STREAM_BYTES) {
        response.destroy(new Error(`An answer is longer than ${MAX_STREAM_BYTES} bytes`));
      }
    });
    response.on("end", resolve);
    response.on("error", reject);
  });
}

/** What is read of an event. */
interface CompletionEvent {
  readonly choices?: readonly { readonly text?: string; readonly finish_reason?: string | null }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  /** llama-server's. */
  readonly timings?: { readonly cache_n?: number };
  readonly error?: unknown;
}

/** @throws Error when there is no token among them, or one reports an error */
export function toTokenStream(sentMs: number, events: readonly TimedEvent[]): TokenStream {
  const arrivalsMs: number[] = [];
  let usage: CompletionEvent["usage"];
  let cacheN: number | undefined;
  for (const { data, atMs } of events) {
    const event = JSON.parse(data) as CompletionEvent;
    if (event.error !== undefined) throw new Error(`The stream ended with an error: ${data}`);
    const choice = event.choices?.[0];
    // llama-server says why an answer ended in an event without text.
    const hasToken = choice && (choice.text !== "" || (choice.finish_reason ?? null) === null);
    if (hasToken) arrivalsMs.push(atMs);
    usage = event.usage ?? usage;
    cacheN = event.timings?.cache_n ?? cacheN;
  }
  if (arrivalsMs.length === 0) throw new Error("The server ended the stream without a token");
  return {
    sentMs,
    arrivalsMs,
    numTokens: usage?.completion_tokens ?? arrivalsMs.length,
    numPromptTokens: usage?.prompt_tokens,
    numCachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? cacheN,
  };
}
