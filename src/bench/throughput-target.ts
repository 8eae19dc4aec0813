import type { Clock } from "../core/index.ts";
import type { BenchServer } from "./bench-server.ts";
import { decodeWindow, perSecond, wholeTokensPerSecond } from "./decode-window.ts";
import type { CutPrompt } from "./prompt-text.ts";
import { RefusedError, streamTokens, type TokenStream } from "./token-stream.ts";

/** So many clients at once, in one round. */
export interface DecodeSample {
  /** While all clients decode; undefined when they never did at the same time. */
  readonly decodeTokensPerSecond: number | undefined;
  /** From the first request to the last token, prompts included. */
  readonly wholeTokensPerSecond: number;
  /** From one event to the next, while all clients decode. */
  readonly waitsMs: readonly number[];
  /** Of the shortest answer. */
  readonly numTokens: number;
}

/** One prompt alone, in one round. */
export interface PrefillSample {
  readonly ttftMs: number;
  readonly numPromptTokens: number;
  /** Undefined where the server does not report them. */
  readonly numCachedTokens: number | undefined;
  /** Of what was computed. */
  readonly tokensPerSecond: number;
}

/** Fields that some servers refuse: tried in turn. */
const EXTRA_FIELDS: readonly object[] = [
  { ignore_eos: true, stream_options: { include_usage: true } },
  { stream_options: { include_usage: true } },
  {},
];

/** What unknown fields are answered with. */
const BAD_REQUEST = new Set([400, 422]);

/** A server under test and how it is asked. */
export class ThroughputTarget {
  readonly #server: BenchServer;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #extraFields: object = EXTRA_FIELDS[0]!;

  constructor(server: BenchServer, clock: Clock, signal: AbortSignal) {
    this.#server = server;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** The first request: finds out which fields this server knows. */
  async greet(prompt: string): Promise<TokenStream> {
    try {
      return await this.#stream(prompt, 1, this.#signal);
    } catch (error) {
      const simpler = EXTRA_FIELDS[EXTRA_FIELDS.indexOf(this.#extraFields) + 1];
      const isBadRequest = error instanceof RefusedError && BAD_REQUEST.has(error.status);
      if (!isBadRequest || simpler === undefined) throw error;
      this.#extraFields = simpler;
      return this.greet(prompt);
    }
  }

  /** @param prompts one for each client */
  async decode(prompts: readonly CutPrompt[], maxTokens: number): Promise<DecodeSample> {
    const streams = await this.#streamTogether(prompts, maxTokens);
    const window = decodeWindow(streams);
    return {
      decodeTokensPerSecond: window && perSecond(window.numTokens, window.durationMs),
      wholeTokensPerSecond: wholeTokensPerSecond(streams),
      waitsMs: window?.waitsMs ?? [],
      numTokens: Math.min(...streams.map(({ numTokens }) => numTokens)),
    };
  }

  async prefill(prompt: CutPrompt): Promise<PrefillSample> {
    const stream = await this.#stream(prompt.text, 1, this.#signal);
    const { numPromptTokens = prompt.numTokens, numCachedTokens } = stream;
    const ttftMs = stream.arrivalsMs[0]! - stream.sentMs;
    return {
      ttftMs,
      numPromptTokens,
      numCachedTokens,
      tokensPerSecond: perSecond(numPromptTokens - (numCachedTokens ?? 0), ttftMs),
    };
  }

  async #streamTogether(prompts: readonly CutPrompt[], maxTokens: number): Promise<TokenStream[]> {
    const failure = new AbortController();
    try {
      return await Promise.all(
        prompts.map(({ text }) =>
          this.#stream(text, maxTokens, AbortSignal.any([this.#signal, failure.signal])),
        ),
      );
    } finally {
      // One has failed: nobody waits for the others any more.
      failure.abort();
    }
  }

  #stream(prompt: string, maxTokens: number, signal: AbortSignal): Promise<TokenStream> {
    const { baseUrl, apiKey, model } = this.#server;
    const body = {
      model,
      prompt,
      max_tokens: maxTokens,
      temperature: 0,
      stream: true,
      ...this.#extraFields,
    };
    return streamTokens({ baseUrl, apiKey, body }, this.#clock, signal);
  }
}
