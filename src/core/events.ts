import { channel } from "node:diagnostics_channel";

/**
 * What happened, for whoever wants to count it (metrics, a dashboard, a test). Publishing costs
 * nothing while nobody listens.
 */
export interface WarmkvEvents {
  /** A request left the engine. */
  "warmkv:request:finished": {
    readonly id: string;
    readonly finishReason: "stop" | "length" | "abort" | "error";
    readonly numPromptTokens: number;
    readonly numCachedTokens: number;
    readonly numGeneratedTokens: number;
    /** As many as it might have had. */
    readonly maxTokens: number;
    /** Undefined when no token came. */
    readonly timeToFirstTokenMs: number | undefined;
    readonly endToEndMs: number;
    readonly queueMs: number;
  };
  /** A request for embeddings that was answered. */
  "warmkv:embedding:finished": {
    readonly numTexts: number;
    readonly numTokens: number;
    readonly durationMs: number;
  };
  /** A request over HTTP, when its headers are made. */
  "warmkv:http:request": {
    readonly method: string;
    /** As routes name it: "/v1/models/:id". Undefined: there is none. */
    readonly route: string | undefined;
    readonly status: number;
    readonly durationMs: number;
  };
  /** A token of an answer, behind its first one. */
  "warmkv:request:token": { readonly intervalMs: number };
  /** One step of the engine. */
  "warmkv:engine:step": { readonly numTokens: number; readonly durationMs: number };
  "warmkv:engine:preempted": { readonly id: string };
  "warmkv:cache:lookup": {
    readonly numTokens: number;
    readonly numHitTokens: number;
    readonly durationMs: number;
  };
  "warmkv:cache:retrieve": {
    readonly numTokens: number;
    readonly numRequestedTokens: number;
    readonly numBytes: number;
    readonly durationMs: number;
  };
  "warmkv:cache:store": {
    readonly numTokens: number;
    readonly numBytes: number;
    readonly durationMs: number;
  };
  /** A chunk that failed a check and was removed. */
  "warmkv:cache:damaged": { readonly tier: string; readonly key: string; readonly reason: string };
  "warmkv:cache:evicted": { readonly tier: string; readonly numChunks: number };
  /** A tier or the pool had no room, or too much was in flight. */
  "warmkv:cache:refused": { readonly tier: string; readonly numChunks: number };
  /** A request computes chunks that others wait for, if they want them. */
  "warmkv:claim:taken": { readonly numChunks: number };
  /** A request has waited for chunks that another one computed. */
  "warmkv:claim:waited": { readonly durationMs: number; readonly numChunks: number };
  /** A tier that rejected: broken, away, or beyond its time budget. */
  "warmkv:tier:failed": { readonly tier: string; readonly code: string };
}

export function publish<Name extends keyof WarmkvEvents>(
  name: Name,
  event: WarmkvEvents[Name],
): void {
  const target = channel(name);
  if (target.hasSubscribers) target.publish(event);
}

/** @returns a function that ends the subscription */
export function subscribe<Name extends keyof WarmkvEvents>(
  name: Name,
  listener: (event: WarmkvEvents[Name]) => void,
): () => void {
  const onMessage = (message: unknown): void => listener(message as WarmkvEvents[Name]);
  const target = channel(name);
  target.subscribe(onMessage);
  return () => {
    target.unsubscribe(onMessage);
  };
}
