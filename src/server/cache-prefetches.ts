import { setTimeout as delay } from "node:timers/promises";
import type { CacheEngine } from "../cache/index.ts";
import { type Logger, messageOf } from "../core/index.ts";
import { ApiError, type CacheLookupResponse, type CachePrefetchResponse } from "../openai/index.ts";
import type { ScopedTokens } from "./cache-prompt.ts";

/** As many as the cache lets wait; it would turn more away without a word. */
const MAX_RUNNING = 64;
/** Of those that have ended, so many can still be asked about. */
const MAX_REMEMBERED = 256;

/** A prefetch that runs, or has ended. */
export class Prefetch {
  /** Settles when it has ended, however. Never rejects. */
  readonly ended: Promise<void>;
  #response: CachePrefetchResponse;

  constructor(response: CachePrefetchResponse, work: Promise<CachePrefetchResponse>) {
    this.#response = response;
    this.ended = work.then((last) => {
      this.#response = last;
    });
  }

  get response(): CachePrefetchResponse {
    return this.#response;
  }

  /** Until it has ended, the time is up or the signal is aborted. */
  async wait(maxWaitMs: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const timeUp = delay(maxWaitMs, undefined, {
      signal: AbortSignal.any([signal, over.signal]),
      ref: false,
    }).catch(() => {});
    await Promise.race([this.ended, timeUp]);
    over.abort();
  }
}

/** The prefetches of one server, by the id of the request that began them. */
export class Prefetches {
  readonly #cache: CacheEngine;
  readonly #logger: Logger;
  readonly #running = new Map<string, Prefetch>();
  readonly #ended = new Map<string, Prefetch>();

  constructor(cache: CacheEngine, logger: Logger) {
    this.#cache = cache;
    this.#logger = logger;
  }

  get(id: string): Prefetch | undefined {
    return this.#running.get(id) ?? this.#ended.get(id);
  }

  /**
   * @param id not used before
   * @param where what a lookup has just found
   * @throws ApiError 409 without a CPU tier, 429 when too many run
   */
  start(id: string, prompt: ScopedTokens, where: CacheLookupResponse): Prefetch {
    const hotTier = this.#cache.tiers.hotTier;
    if (hotTier === undefined) {
      throw new ApiError(
        409,
        "There is no CPU tier to bring chunks into: start the server with local_cpu on",
        { code: "no_cpu_tier" },
      );
    }
    if (this.#running.size >= MAX_RUNNING) {
      throw new ApiError(429, `At most ${MAX_RUNNING} prefetches may run: try again later`, {
        type: "rate_limit_error",
        code: "too_many_prefetches",
        headers: { "retry-after": "1" },
      });
    }
    const numHot = where.tiers[hotTier.name] ?? 0;
    const numToBring = where.hit_tokens - numHot;
    const response: CachePrefetchResponse = {
      request_id: id,
      status: "running",
      total_tokens: where.total_tokens,
      hit_tokens: where.hit_tokens,
      tokens_to_bring: numToBring,
      tokens_brought: 0,
    };
    this.#logger.info(
      `Prefetching KV cache for ${numToBring} out of ${where.total_tokens} tokens for request ${id}`,
    );
    const prefetch = new Prefetch(response, this.#bring(prompt, response, numHot));
    this.#running.set(id, prefetch);
    void prefetch.ended.then(() => this.#remember(id, prefetch));
    return prefetch;
  }

  async #bring(
    { tokens, scope }: ScopedTokens,
    response: CachePrefetchResponse,
    numHotBefore: number,
  ): Promise<CachePrefetchResponse> {
    try {
      // Chunks that were asked for are of use to others too: a client that leaves ends nothing.
      const numHot = await this.#cache.prefetch(tokens, new AbortController().signal, scope);
      return { ...response, status: "done", tokens_brought: Math.max(0, numHot - numHotBefore) };
    } catch (error) {
      this.#logger.warn(`Prefetch for request ${response.request_id} failed: ${messageOf(error)}`);
      return { ...response, status: "failed" };
    }
  }

  #remember(id: string, prefetch: Prefetch): void {
    this.#running.delete(id);
    this.#ended.set(id, prefetch);
    for (const oldest of this.#ended.keys()) {
      if (this.#ended.size <= MAX_REMEMBERED) break;
      this.#ended.delete(oldest);
    }
  }
}
