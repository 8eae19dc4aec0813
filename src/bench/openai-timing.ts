import type OpenAI from "openai";
import type { Clock } from "../core/index.ts";
import { type WireTiming, timedFetch } from "./patient-fetch.ts";

/** One streamed completion, as its client saw it. */
export interface CompletionTiming {
  /** From sending the request to the first token, were its text empty. */
  readonly ttftMs: number;
  /** From handing the request to the socket to the first byte of the answer's body: without the client around it. */
  readonly wireTtftMs: number;
  readonly totalMs: number;
  /** Waits between one chunk of the stream and the next, each a token. */
  readonly interTokenMs: readonly number[];
  readonly text: string;
  /** The text of each token, where the server reports them; tells answers apart whose broken UTF-8 looks alike. */
  readonly tokenTexts: readonly string[];
  readonly finishReason: string | undefined;
  /** The server's own counts; undefined where it does not report them. */
  readonly numPromptTokens: number | undefined;
  readonly numCachedTokens: number | undefined;
  readonly numCompletionTokens: number | undefined;
}

export interface CompletionRequest {
  readonly model: string;
  readonly prompt: string;
  readonly maxTokens: number;
}

/** llama-server's own field, where OpenAI's `prompt_tokens_details` is not filled in. */
interface LlamaServerTimings {
  readonly timings?: { readonly cache_n?: number };
}

/**
 * Sends one greedy completion through the OpenAI client, streaming, and times what comes back.
 *
 * @throws Error when the stream ends without a token
 */
export async function timeCompletion(
  client: OpenAI,
  request: CompletionRequest,
  clock: Clock,
  signal?: AbortSignal,
): Promise<CompletionTiming> {
  const wire: WireTiming = {};
  const timed = client.withOptions({ fetch: timedFetch(wire) });
  const startMs = clock.nowMs();
  const stream = await timed.completions.create(
    {
      model: request.model,
      prompt: request.prompt,
      max_tokens: request.maxTokens,
      temperature: 0,
      // Only the picked token's own: servers then send each token at once, even one that is half a letter.
      logprobs: 0,
      stream: true,
      stream_options: { include_usage: true },
    },
    // The client never stops listening to the signal of a request, so each has its own.
    { signal: signal && AbortSignal.any([signal]) },
  );
  const arrivalsMs: number[] = [];
  const tokenTexts: string[] = [];
  let text = "";
  let finishReason: string | undefined;
  let usage: OpenAI.CompletionUsage | undefined;
  let cacheN: number | undefined;
  for await (const chunk of stream) {
    const choice = chunk.choices[0];
    if (choice) {
      arrivalsMs.push(clock.nowMs());
      text += choice.text;
      tokenTexts.push(...(choice.logprobs?.tokens ?? []));
      finishReason = choice.finish_reason ?? finishReason;
    }
    usage = chunk.usage ?? usage;
    cacheN = (chunk as LlamaServerTimings).timings?.cache_n ?? cacheN;
  }
  const totalMs = clock.nowMs() - startMs;
  if (arrivalsMs.length === 0) throw new Error("The server ended the stream without a token");
  return {
    ttftMs: arrivalsMs[0]! - startMs,
    wireTtftMs: wire.firstByteMs! - wire.sentMs!,
    totalMs,
    interTokenMs: arrivalsMs.slice(1).map((arrivalMs, index) => arrivalMs - arrivalsMs[index]!),
    text,
    tokenTexts,
    finishReason,
    numPromptTokens: usage?.prompt_tokens,
    numCachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? cacheN,
    numCompletionTokens: usage?.completion_tokens,
  };
}
