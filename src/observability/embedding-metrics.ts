import type { Registry } from "prom-client";
import { subscribe } from "../core/index.ts";
import { requestLatencyBuckets } from "./buckets.ts";
import { MetricFactory } from "./metric-factory.ts";

/** @returns functions that end the subscriptions */
export function registerEmbeddingMetrics(registry: Registry): (() => void)[] {
  const metrics = new MetricFactory(registry, "warmkv:");
  const texts = metrics.counter("embedding_texts_total", "Texts that embeddings were made of");
  const tokens = metrics.counter("embedding_tokens_total", "Tokens of these texts");
  const seconds = metrics.histogram(
    "embedding_request_seconds",
    "Time of a request for embeddings",
    requestLatencyBuckets,
  );
  return [
    subscribe("warmkv:embedding:finished", ({ numTexts, numTokens, durationMs }) => {
      texts.inc(numTexts);
      tokens.inc(numTokens);
      seconds.observe(durationMs / 1000);
    }),
  ];
}
