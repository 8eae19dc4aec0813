import { z } from "zod";
import { UsageError } from "../core/index.ts";
import type { ChatMessage } from "../engine/index.ts";
import { messagesShape } from "./chat-message.ts";
import { type JsonObject, jsonObject } from "./json-object.ts";
import { MAX_PROMPTS, type Prompt, readPrompts, readTokenIds } from "./prompt.ts";
import { describe, parseRequestBody } from "./request-body.ts";
import { cacheSaltShape } from "./sampling-fields.ts";
import type { ShapeOf } from "./sampling-fields.ts";
import { type ToolFields, toolsShape } from "./tools.ts";

/** Names a prompt to the cache, with the fields that the same prompt has in a request for an answer. */
export interface CachePromptFields {
  readonly model?: string | undefined;
  /** A text, or token ids. */
  readonly prompt?: unknown;
  /** Token ids, by the name that LMCache's controller has for them. */
  readonly tokens?: unknown;
  readonly messages?: readonly ChatMessage[] | undefined;
  readonly cache_salt?: string | undefined;
  /** Only its "lmcache.tag.*" matter: they are part of what a chunk is stored under. */
  readonly kv_transfer_params?: JsonObject | undefined;
  /** For a text; default true. */
  readonly add_special_tokens?: boolean | undefined;
  /** For messages; default true. */
  readonly add_generation_prompt?: boolean | undefined;
  readonly chat_template_kwargs?: JsonObject | undefined;
  readonly tools?: readonly ToolFields[] | undefined;
}

export interface CachePrefetchFields extends CachePromptFields {
  /** Answer when the chunks are there. */
  readonly wait?: boolean | undefined;
}

export interface CachePinFields extends CachePromptFields {
  /** Seconds. Default: the cache's pin timeout. */
  readonly ttl?: number | undefined;
}

export interface CacheMoveFields extends CachePromptFields {
  /** Names of tiers. */
  readonly from: string;
  readonly to: string;
  /** Leave the chunks where they are, too. */
  readonly copy?: boolean | undefined;
}

export type CachePrompt = Prompt | { readonly kind: "messages"; readonly messages: ChatMessages };
type ChatMessages = readonly ChatMessage[];

export interface CacheRequest<Fields> {
  readonly fields: Fields;
  readonly prompt: CachePrompt;
}

/** A pin takes room from everybody else: longer than a week is an oversight. */
const MAX_TTL_SECONDS = 7 * 24 * 3600;

const promptShape: ShapeOf<CachePromptFields> = {
  model: z.string().optional(),
  prompt: z.unknown().optional(),
  tokens: z.unknown().optional(),
  messages: messagesShape.optional(),
  cache_salt: cacheSaltShape.optional(),
  kv_transfer_params: jsonObject.optional(),
  add_special_tokens: z.boolean().optional(),
  add_generation_prompt: z.boolean().optional(),
  chat_template_kwargs: jsonObject.optional(),
  tools: toolsShape.optional(),
};
const prefetchShape: ShapeOf<CachePrefetchFields> = {
  ...promptShape,
  wait: z.boolean().optional(),
};
const pinShape: ShapeOf<CachePinFields> = {
  ...promptShape,
  ttl: z.number().positive().max(MAX_TTL_SECONDS).optional(),
};
const moveShape: ShapeOf<CacheMoveFields> = {
  ...promptShape,
  from: z.string(),
  to: z.string(),
  copy: z.boolean().optional(),
};

/** The body of everything that takes a prompt and no more. */
export function parseCachePrompt(body: unknown): CacheRequest<CachePromptFields> {
  return parse(promptShape, body);
}

export function parseCachePrefetch(body: unknown): CacheRequest<CachePrefetchFields> {
  return parse(prefetchShape, body);
}

export function parseCachePin(body: unknown): CacheRequest<CachePinFields> {
  return parse(pinShape, body);
}

export function parseCacheMove(body: unknown): CacheRequest<CacheMoveFields> {
  const request = parse(moveShape, body);
  if (request.fields.from !== request.fields.to) return request;
  throw new UsageError(`Cannot move from "${request.fields.from}" to itself`, { param: "to" });
}

function parse<Fields extends CachePromptFields>(
  shape: ShapeOf<Fields>,
  body: unknown,
): CacheRequest<Fields> {
  const fields = parseRequestBody<Fields>(z.object(shape), body);
  return { fields, prompt: readPrompt(fields) };
}

/** @throws UsageError unless exactly one prompt is named */
function readPrompt(fields: CachePromptFields): CachePrompt {
  const { prompt, tokens, messages } = fields;
  const given = [prompt, tokens, messages].filter((value) => value !== undefined);
  if (given.length !== 1) {
    const got = given.length === 0 ? "none of them is there" : "got several";
    throw new UsageError(`Expected one of 'prompt', 'messages' and 'tokens': ${got}`, {
      param: "prompt",
    });
  }
  if (messages !== undefined) {
    if (fields.add_special_tokens !== true) return { kind: "messages", messages };
    throw new UsageError(
      "This server cannot honour 'add_special_tokens' for messages: the chat template places them",
      { param: "add_special_tokens" },
    );
  }
  return tokens === undefined ? readOnePrompt(prompt) : readTokens(tokens);
}

function readOnePrompt(value: unknown): Prompt {
  const [prompt, ...others] = readPrompts(value, "prompt", MAX_PROMPTS);
  if (others.length === 0) return prompt!;
  throw new UsageError(`Invalid 'prompt': expected one prompt, got ${others.length + 1}`, {
    param: "prompt",
  });
}

function readTokens(value: unknown): Prompt {
  if (Array.isArray(value) && value.length > 0) {
    return { kind: "tokens", tokens: readTokenIds(value, "tokens") };
  }
  throw new UsageError(`Invalid 'tokens': expected a list of token ids, got ${describe(value)}`, {
    param: "tokens",
  });
}

export interface CacheLookupResponse {
  readonly total_tokens: number;
  /** Leading tokens that are stored, in whichever tier. */
  readonly hit_tokens: number;
  /** Leading tokens that each tier holds by itself. */
  readonly tiers: Readonly<Record<string, number>>;
}

export type CachePrefetchStatus = "running" | "done" | "failed";

export interface CachePrefetchResponse {
  readonly request_id: string;
  readonly status: CachePrefetchStatus;
  readonly total_tokens: number;
  readonly hit_tokens: number;
  /** Stored, but not in CPU RAM when this began. */
  readonly tokens_to_bring: number;
  /** Of those, how many came; 0 while it runs. */
  readonly tokens_brought: number;
}

export interface CachePinResponse {
  readonly total_tokens: number;
  readonly pinned_tokens: number;
}

export interface CacheUnpinResponse {
  /** Whether this very prompt was pinned. */
  readonly unpinned: boolean;
}

export interface CacheMoveResponse {
  readonly total_tokens: number;
  /** Leading tokens that the target tier holds now. */
  readonly moved_tokens: number;
}

export interface CacheClearResponse {
  /** A chunk that was in two tiers counts twice. */
  readonly removed_chunks: number;
  readonly tiers: Readonly<Record<string, number>>;
}

/** Levels now and counters since the start; see TierStats. */
export interface CacheTierStats {
  /** False while it is away, and requests go on without it. */
  readonly is_up: boolean;
  readonly num_chunks: number;
  readonly used_bytes: number;
  readonly capacity_bytes: number;
  readonly num_hits: number;
  readonly num_misses: number;
  readonly num_stored: number;
  readonly num_evicted: number;
  readonly num_refused: number;
  readonly num_damaged: number;
}

export interface CacheStatsResponse {
  readonly chunk_tokens: number;
  readonly num_pinned_chunks: number;
  readonly pool_used_bytes: number;
  readonly pool_capacity_bytes: number;
  readonly tiers: Readonly<Record<string, CacheTierStats>>;
}
