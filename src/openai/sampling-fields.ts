import { z } from "zod";
import { UsageError } from "../core/index.ts";
import type { NumberRange, SamplingParams } from "../engine/index.ts";
// Not by the folder's door: behind it are native libraries, which those who only read requests do not need.
import { RESERVED_SALT } from "../engine/lora-module.ts";
import { samplingRanges } from "../engine/sampling-params.ts";
import { formatShape } from "./answer-format.ts";
import type { FormatFields } from "./answer-format.ts";
import { jsonObject } from "./json-object.ts";
import type { JsonObject } from "./json-object.ts";
import { describe } from "./request-body.ts";
import { responseFormatShape } from "./response-format.ts";
import type { ResponseFormat } from "./response-format.ts";

/** OpenAI's limit. */
export const MAX_CHOICES = 128;
export const MAX_LOGPROBS = 20;
const MAX_STOP_STRINGS = 64;
const MAX_STOP_LENGTH = 1024;
const MAX_BAD_WORDS = 256;
/** No vocabulary is larger. */
const MAX_ALLOWED_TOKENS = 1_000_000;

/** What both endpoints take: OpenAI's fields, then vLLM's. Absent means the default. */
export interface SamplingFields extends FormatFields {
  readonly model?: string | undefined;
  /** Answers per prompt. */
  readonly n?: number | undefined;
  readonly stream?: boolean | undefined;
  readonly stream_options?: StreamOptions | undefined;
  readonly temperature?: number | undefined;
  readonly top_p?: number | undefined;
  readonly presence_penalty?: number | undefined;
  readonly frequency_penalty?: number | undefined;
  readonly logit_bias?: Readonly<Record<string, number>> | undefined;
  readonly seed?: number | undefined;
  readonly max_tokens?: number | undefined;
  readonly stop?: string | readonly string[] | undefined;
  readonly response_format?: ResponseFormat | undefined;

  readonly top_k?: number | undefined;
  readonly min_p?: number | undefined;
  readonly repetition_penalty?: number | undefined;
  readonly min_tokens?: number | undefined;
  readonly stop_token_ids?: readonly number[] | undefined;
  readonly ignore_eos?: boolean | undefined;
  /** Default true: control tokens are no part of the text. */
  readonly skip_special_tokens?: boolean | undefined;
  /** The stop string or stop token is a part of the text. */
  readonly include_stop_str_in_output?: boolean | undefined;
  /** Texts that the answer never holds. */
  readonly bad_words?: readonly string[] | undefined;
  readonly allowed_token_ids?: readonly number[] | undefined;
  /** Keep so many tokens of the prompt, the last ones; -1: as many as the model takes. */
  readonly truncate_prompt_tokens?: number | undefined;
  /** Alternatives to report for each token of the prompt but the first. */
  readonly prompt_logprobs?: number | undefined;
  /** Tell the token ids of prompt and answer. */
  readonly return_token_ids?: boolean | undefined;
  /** Name tokens "token_id:5" in log probabilities. */
  readonly return_tokens_as_token_ids?: boolean | undefined;
  readonly cache_salt?: string | undefined;
  readonly kv_transfer_params?: JsonObject | undefined;
  readonly priority?: number | undefined;
  readonly request_id?: string | undefined;
}

export interface StreamOptions {
  /** A last chunk with the usage. */
  readonly include_usage?: boolean | null | undefined;
  /** The usage so far in every chunk. */
  readonly continuous_usage_stats?: boolean | null | undefined;
  readonly include_obfuscation?: false | null | undefined;
}

/** What begins with RESERVED_SALT is the engine's. */
export const cacheSaltShape: z.ZodType<string> = z
  .string()
  .min(1)
  .max(1024)
  .refine((salt) => !salt.startsWith(RESERVED_SALT), "expected not to begin with a zero byte");

/** One zod type for each field of an interface. */
export type ShapeOf<Fields> = { readonly [Name in keyof Fields]-?: z.ZodType<Fields[Name]> };

const stopString = z.string().min(1).max(MAX_STOP_LENGTH);

function numberIn({ min, max, isWhole = false }: NumberRange): z.ZodType<number | undefined> {
  return (isWhole ? z.int() : z.number()).min(min).max(max).optional();
}

export const samplingShape: ShapeOf<SamplingFields> = {
  ...formatShape,
  model: z.string().optional(),
  n: z.int().min(1).max(MAX_CHOICES).optional(),
  stream: z.boolean().optional(),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().nullish(),
      continuous_usage_stats: z.boolean().nullish(),
      include_obfuscation: z.literal(false).nullish(),
    })
    .optional(),
  temperature: numberIn(samplingRanges.temperature),
  top_p: numberIn(samplingRanges.topP),
  presence_penalty: numberIn(samplingRanges.presencePenalty),
  frequency_penalty: numberIn(samplingRanges.frequencyPenalty),
  logit_bias: z.record(z.string(), z.number().min(-100).max(100)).optional(),
  seed: numberIn(samplingRanges.seed),
  max_tokens: numberIn(samplingRanges.maxTokens),
  stop: z
    .union([stopString, z.array(stopString).max(MAX_STOP_STRINGS)], {
      error: `expected a string or a list of at most ${MAX_STOP_STRINGS} strings of 1 to ${MAX_STOP_LENGTH} characters`,
    })
    .optional(),
  response_format: responseFormatShape.optional(),

  top_k: numberIn(samplingRanges.topK),
  min_p: numberIn(samplingRanges.minP),
  repetition_penalty: numberIn(samplingRanges.repetitionPenalty),
  min_tokens: numberIn(samplingRanges.minTokens),
  stop_token_ids: z.array(z.int().min(0)).max(MAX_STOP_STRINGS).optional(),
  ignore_eos: z.boolean().optional(),
  skip_special_tokens: z.boolean().optional(),
  include_stop_str_in_output: z.boolean().optional(),
  bad_words: z.array(z.string().min(1).max(MAX_STOP_LENGTH)).max(MAX_BAD_WORDS).optional(),
  allowed_token_ids: z.array(z.int().min(0)).min(1).max(MAX_ALLOWED_TOKENS).optional(),
  truncate_prompt_tokens: z
    .int()
    .min(-1)
    .refine((count) => count !== 0, "expected at least one token, or -1")
    .optional(),
  prompt_logprobs: z.int().min(0).max(MAX_LOGPROBS).optional(),
  return_token_ids: z.boolean().optional(),
  return_tokens_as_token_ids: z.boolean().optional(),
  cache_salt: cacheSaltShape.optional(),
  kv_transfer_params: jsonObject.optional(),
  priority: z.int().optional(),
  request_id: z
    .string()
    .regex(/^[\w.:-]{1,128}$/, "expected 1 to 128 letters, digits or any of _ . : -")
    .optional(),
};

/** What one field asks of another, which no field's own type can state. */
export function checkBetweenFields(fields: SamplingFields): void {
  if (fields.stream_options !== undefined && fields.stream !== true) {
    throw new UsageError("'stream_options' is only allowed when 'stream' is true", {
      param: "stream_options",
    });
  }
  if (fields.prompt_logprobs !== undefined && fields.stream === true) {
    throw new UsageError("This server cannot honour 'prompt_logprobs' in a stream", {
      param: "prompt_logprobs",
    });
  }
}

export interface SamplingContext {
  readonly maxTokens: number;
  readonly numLogprobs: number | undefined;
  readonly vocabSize: number;
  /** Which of the `n` answers: each needs its own random numbers. */
  readonly choiceIndex: number;
  /** See SamplingParams. */
  readonly grammar: string | undefined;
  readonly skipsSpecialTokens: boolean;
  /** The `bad_words` as tokens. */
  readonly bannedSequences: readonly Int32Array[];
  readonly numPromptLogprobs?: number | undefined;
}

/** @throws UsageError for token ids beyond the vocabulary and a min_tokens above max_tokens */
export function toSamplingParams(fields: SamplingFields, context: SamplingContext): SamplingParams {
  const minTokens = fields.min_tokens ?? 0;
  if (minTokens > context.maxTokens) {
    throw new UsageError(
      `Invalid 'min_tokens': expected at most max_tokens, which is ${context.maxTokens}, got ${minTokens}`,
      { param: "min_tokens" },
    );
  }
  const stopTokenIds = fields.stop_token_ids ?? [];
  for (const id of stopTokenIds) checkTokenId(id, context.vocabSize, "stop_token_ids");
  const { allowed_token_ids: allowed } = fields;
  for (const id of allowed ?? []) checkTokenId(id, context.vocabSize, "allowed_token_ids");
  return {
    temperature: fields.temperature ?? 1,
    topP: fields.top_p ?? 1,
    topK: fields.top_k ?? 0,
    minP: fields.min_p ?? 0,
    presencePenalty: fields.presence_penalty ?? 0,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    repetitionPenalty: fields.repetition_penalty ?? 1,
    bannedSequences: context.bannedSequences,
    allowedTokens: allowed && Int32Array.from(allowed),
    logitBias: logitBias(fields, context.vocabSize),
    seed: fields.seed === undefined ? undefined : foldSeed(fields.seed + context.choiceIndex),
    maxTokens: context.maxTokens,
    minTokens,
    stop: typeof fields.stop === "string" ? [fields.stop] : (fields.stop ?? []),
    includesStop: fields.include_stop_str_in_output ?? false,
    stopTokenIds,
    ignoreEos: fields.ignore_eos ?? false,
    numLogprobs: context.numLogprobs,
    grammar: context.grammar,
    numPromptLogprobs: context.numPromptLogprobs,
    skipsSpecialTokens: context.skipsSpecialTokens,
  };
}

/** @throws UsageError: llama.cpp reads beyond its tables for an id that is not in the vocabulary */
export function checkTokenId(id: number | string, vocabSize: number, param: string): void {
  if (Number.isInteger(id) && Number(id) >= 0 && Number(id) < vocabSize) return;
  throw new UsageError(
    `Invalid '${param}': expected token ids from 0 to ${vocabSize - 1}, got ${describe(id)}`,
    { param },
  );
}

function logitBias(fields: SamplingFields, vocabSize: number): ReadonlyMap<number, number> {
  const bias = new Map<number, number>();
  for (const [key, value] of Object.entries(fields.logit_bias ?? {})) {
    const id = /^\d+$/.test(key) ? Number(key) : key;
    checkTokenId(id, vocabSize, "logit_bias");
    bias.set(Number(id), value);
  }
  return bias;
}

/** llama.cpp's seeds are 32 bits wide and the highest one means "random". */
const NUM_SEEDS = 2 ** 32 - 1;

function foldSeed(seed: number): number {
  return ((seed % NUM_SEEDS) + NUM_SEEDS) % NUM_SEEDS;
}
