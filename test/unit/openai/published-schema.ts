import type OpenAI from "openai";
import { z } from "zod";

/**
 * OpenAI's published schema of answers, as zod reads it, without what only other kinds of models answer
 * (audio, moderation, citations). The types at the end hold it to the types of OpenAI's own client: nothing is
 * missing and nothing is added. Objects are strict, so a field that OpenAI does not know fails.
 */
const usage = z.strictObject({
  prompt_tokens: z.int().min(0),
  completion_tokens: z.int().min(0),
  total_tokens: z.int().min(0),
  completion_tokens_details: z
    .strictObject({
      accepted_prediction_tokens: z.int().optional(),
      audio_tokens: z.int().optional(),
      reasoning_tokens: z.int().optional(),
      rejected_prediction_tokens: z.int().optional(),
    })
    .optional(),
  prompt_tokens_details: z
    .strictObject({
      audio_tokens: z.int().optional(),
      cache_write_tokens: z.int().optional(),
      cached_tokens: z.int().optional(),
    })
    .optional(),
});

const bytes = z.array(z.int().min(0).max(255)).nullable();
const topLogprob = z.strictObject({ token: z.string(), bytes, logprob: z.number().max(1e-4) });
const tokenLogprob = topLogprob.extend({ top_logprobs: z.array(topLogprob) });
const chatLogprobs = z.strictObject({
  content: z.array(tokenLogprob).nullable(),
  refusal: z.array(tokenLogprob).nullable(),
});
const finishReason = z.enum(["stop", "length", "tool_calls", "content_filter", "function_call"]);
const serviceTier = z.enum(["auto", "default", "flex", "scale", "priority"]).nullish();
const json = z.string().refine(isJson, "expected JSON");

const head = {
  id: z.string().min(1),
  created: z.int().min(1_600_000_000),
  model: z.string(),
  system_fingerprint: z.string().optional(),
};

const message = z.strictObject({
  role: z.literal("assistant"),
  content: z.string().nullable(),
  refusal: z.string().nullable(),
  tool_calls: z
    .array(
      z.strictObject({
        id: z.string().min(1),
        type: z.literal("function"),
        function: z.strictObject({ name: z.string().min(1), arguments: json }),
      }),
    )
    .optional(),
  function_call: z.null().optional(),
});

export const chatCompletion = z.strictObject({
  ...head,
  object: z.literal("chat.completion"),
  service_tier: serviceTier,
  usage: usage.optional(),
  choices: z.array(
    z.strictObject({
      index: z.int().min(0),
      finish_reason: finishReason,
      logprobs: chatLogprobs.nullable(),
      message,
    }),
  ),
});

export const chatCompletionChunk = z.strictObject({
  ...head,
  object: z.literal("chat.completion.chunk"),
  service_tier: serviceTier,
  usage: usage.nullish(),
  choices: z.array(
    z.strictObject({
      index: z.int().min(0),
      finish_reason: finishReason.nullable(),
      logprobs: chatLogprobs.nullish(),
      delta: z.strictObject({
        role: z.enum(["developer", "system", "user", "assistant", "tool"]).optional(),
        content: z.string().nullish(),
        refusal: z.string().nullish(),
        function_call: z
          .strictObject({ arguments: z.string().optional(), name: z.string().optional() })
          .optional(),
        tool_calls: z
          .array(
            z.strictObject({
              index: z.int().min(0),
              id: z.string().optional(),
              type: z.literal("function").optional(),
              function: z
                .strictObject({ name: z.string().optional(), arguments: z.string().optional() })
                .optional(),
            }),
          )
          .optional(),
      }),
    }),
  ),
});

/** A whole answer, and a chunk of a stream, where `usage` may be null and choices have not yet a reason. */
const completionWith = <Reason extends z.ZodType, Counts extends z.ZodType>(
  reason: Reason,
  counts: Counts,
) =>
  z.strictObject({
    ...head,
    object: z.literal("text_completion"),
    usage: counts,
    choices: z.array(
      z.strictObject({
        index: z.int().min(0),
        text: z.string(),
        finish_reason: reason,
        logprobs: z
          .strictObject({
            tokens: z.array(z.string()).optional(),
            text_offset: z.array(z.int().min(0)).optional(),
            token_logprobs: z.array(z.number().nullable()).optional(),
            top_logprobs: z.array(z.record(z.string(), z.number()).nullable()).optional(),
          })
          .nullable(),
      }),
    ),
  });
const completionReason = z.enum(["stop", "length", "content_filter"]);
export const completion = completionWith(completionReason, usage.optional());
export const completionChunk = completionWith(completionReason.nullable(), usage.nullish());

export const embeddingList = z.strictObject({
  object: z.literal("list"),
  model: z.string(),
  data: z.array(
    z.strictObject({
      object: z.literal("embedding"),
      index: z.int().min(0),
      embedding: z.array(z.number()),
    }),
  ),
  usage: z.strictObject({ prompt_tokens: z.int().min(1), total_tokens: z.int().min(1) }),
});

export const errorBody = z.strictObject({
  error: z.strictObject({
    message: z.string().min(1),
    type: z.string().min(1),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

type Without<T, Keys> = Omit<T, Keys & keyof T>;
type Same<A, B> = [keyof A] extends [keyof B]
  ? [keyof B] extends [keyof A]
    ? true
    : false
  : false;
type ChoiceOf<T extends { choices: unknown[] }> = T["choices"][number];

/** Each is `true` where the mirror has exactly the fields that OpenAI's type has. */
export interface MirrorHasAllFields {
  chat: Same<z.infer<typeof chatCompletion>, Without<OpenAI.ChatCompletion, "moderation">>;
  chatChoice: Same<ChoiceOf<z.infer<typeof chatCompletion>>, OpenAI.ChatCompletion.Choice>;
  chatMessage: Same<
    ChoiceOf<z.infer<typeof chatCompletion>>["message"],
    Without<OpenAI.ChatCompletionMessage, "annotations" | "audio">
  >;
  chunk: Same<
    z.infer<typeof chatCompletionChunk>,
    Without<OpenAI.ChatCompletionChunk, "moderation">
  >;
  chunkChoice: Same<
    ChoiceOf<z.infer<typeof chatCompletionChunk>>,
    OpenAI.ChatCompletionChunk.Choice
  >;
  delta: Same<
    ChoiceOf<z.infer<typeof chatCompletionChunk>>["delta"],
    OpenAI.ChatCompletionChunk.Choice.Delta
  >;
  completion: Same<z.infer<typeof completion>, OpenAI.Completion>;
  completionChoice: Same<ChoiceOf<z.infer<typeof completion>>, OpenAI.CompletionChoice>;
  embeddings: Same<z.infer<typeof embeddingList>, OpenAI.CreateEmbeddingResponse>;
  embedding: Same<z.infer<typeof embeddingList>["data"][number], OpenAI.Embedding>;
  embeddingUsage: Same<
    z.infer<typeof embeddingList>["usage"],
    OpenAI.CreateEmbeddingResponse["usage"]
  >;
  usage: Same<z.infer<typeof usage>, OpenAI.CompletionUsage>;
  usageDetails: Same<
    NonNullable<z.infer<typeof usage>["completion_tokens_details"]>,
    OpenAI.CompletionUsage.CompletionTokensDetails
  >;
}

/** What the mirror accepts, OpenAI's client takes; null instead of absent aside, which it does not type. */
export type Chat = z.infer<typeof chatCompletion>;
export type Chunk = z.infer<typeof chatCompletionChunk>;
