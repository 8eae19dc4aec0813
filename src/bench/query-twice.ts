import type OpenAI from "openai";
import type { Clock } from "../core/index.ts";
import { type CompletionTiming, timeCompletion } from "./openai-timing.ts";
import { type CutPrompt, cutPrompt, type TokenCounter } from "./prompt-text.ts";

/** One prompt, sent again and again. */
export interface QueryRound {
  readonly numPromptTokens: number;
  readonly cold: CompletionTiming;
  /** At least one. */
  readonly warm: readonly CompletionTiming[];
}

export interface QueryTwiceOptions {
  readonly client: OpenAI;
  readonly model: string;
  readonly clock: Clock;
  /** What prompts are cut from. */
  readonly source: string;
  readonly countTokens: TokenCounter;
  readonly numPromptTokens: number;
  readonly maxTokens: number;
  readonly numRounds: number;
  /** How often a prompt is sent again. */
  readonly numWarmRequests: number;
  /** Different for every prompt, of equal length: nothing that is cached already may match. */
  readonly nextHeading: () => string;
  /** Called before each request. */
  readonly onRequest?: ((phase: "cold" | "warm", round: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Sends a new prompt in each round, and then the same one again, one request after the other. */
export async function queryTwice(options: QueryTwiceOptions): Promise<QueryRound[]> {
  const rounds: QueryRound[] = [];
  for (let round = 0; round < options.numRounds; round++) {
    const prompt = await nextPrompt(options);
    options.onRequest?.("cold", round);
    const cold = await sendPrompt(options, prompt);
    options.onRequest?.("warm", round);
    const warm: CompletionTiming[] = [];
    while (warm.length < options.numWarmRequests) warm.push(await sendPrompt(options, prompt));
    rounds.push({ numPromptTokens: cold.numPromptTokens ?? prompt.numTokens, cold, warm });
  }
  return rounds;
}

type PromptOptions = Pick<
  QueryTwiceOptions,
  "source" | "nextHeading" | "numPromptTokens" | "countTokens"
>;

/** A prompt of which the server cannot have seen anything yet. */
export function nextPrompt(options: PromptOptions): Promise<CutPrompt> {
  const { source, nextHeading, numPromptTokens, countTokens } = options;
  return cutPrompt(source, nextHeading(), numPromptTokens, countTokens);
}

type SendOptions = Pick<QueryTwiceOptions, "client" | "model" | "maxTokens" | "clock" | "signal">;

export function sendPrompt(options: SendOptions, prompt: CutPrompt): Promise<CompletionTiming> {
  const { client, model, maxTokens, clock, signal } = options;
  return timeCompletion(client, { model, prompt: prompt.text, maxTokens }, clock, signal);
}
