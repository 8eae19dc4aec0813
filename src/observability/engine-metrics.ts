import type { Histogram, Registry } from "prom-client";
import { subscribe } from "../core/index.ts";
import type { EngineStats } from "../engine/index.ts";
import {
  requestLatencyBuckets,
  stepTokenBuckets,
  timePerTokenBuckets,
  timeToFirstTokenBuckets,
  tokenCountBuckets,
} from "./buckets.ts";
import { MetricFactory } from "./metric-factory.ts";

/** vLLM's metrics. @returns functions that end the subscriptions */
export function registerEngineMetrics(
  registry: Registry,
  engineStats: () => EngineStats,
): (() => void)[] {
  const metrics = new MetricFactory(registry, "vllm:");
  metrics.level("num_requests_running", "Requests being computed", () => engineStats().numRunning);
  metrics.level("num_requests_waiting", "Requests in the queue", () => engineStats().numWaiting);
  const cellUsage = (): number => engineStats().numUsedCells / Math.max(1, engineStats().numCells);
  metrics.level("kv_cache_usage_perc", "Share of the engine's KV cells in use, 0 to 1", cellUsage);
  metrics.level("gpu_cache_usage_perc", "The older name of kv_cache_usage_perc", cellUsage);

  // Cells, in the words of an engine that has blocks.
  metrics.labelledLevels(
    "cache_config_info",
    "What the KV cache of the engine is made of",
    ["block_size", "num_gpu_blocks"],
    () => [
      { labels: { block_size: "1", num_gpu_blocks: String(engineStats().numCells) }, value: 1 },
    ],
  );
  metrics.labelledLevels(
    "lora_requests_info",
    "LoRA modules that requests have asked for",
    ["running_lora_adapters", "waiting_lora_adapters", "max_lora"],
    () => loraLevels(engineStats()),
  );

  const promptTokens = metrics.counter("prompt_tokens_total", "Prompt tokens");
  const generationTokens = metrics.counter("generation_tokens_total", "Generated tokens");
  // Routers and dashboards of older releases ask for the names with "gpu".
  const queries = ["prefix_cache_queries_total", "gpu_prefix_cache_queries_total"].map((name) =>
    metrics.counter(name, "Prompt tokens looked up"),
  );
  const hits = ["prefix_cache_hits_total", "gpu_prefix_cache_hits_total"].map((name) =>
    metrics.counter(name, "Prompt tokens reused, not computed"),
  );
  const storeQueries = metrics.counter(
    "external_prefix_cache_queries_total",
    "Prompt tokens looked up outside the engine's memory",
  );
  const storeHits = metrics.counter(
    "external_prefix_cache_hits_total",
    "Prompt tokens loaded from outside the engine's memory",
  );
  const preemptions = metrics.counter("num_preemptions_total", "Requests put back into the queue");
  const requests = metrics.counter("request_success_total", "Requests by how they ended", [
    "finished_reason",
  ]);

  const timeToFirstToken = metrics.histogram(
    "time_to_first_token_seconds",
    "Time to the first token",
    timeToFirstTokenBuckets,
  );
  const tokenIntervals = ["inter_token_latency_seconds", "time_per_output_token_seconds"].map(
    (name) => metrics.histogram(name, "Time between two tokens", timePerTokenBuckets),
  );
  const timePerToken = metrics.histogram(
    "request_time_per_output_token_seconds",
    "Mean time between two tokens of a request",
    timePerTokenBuckets,
  );
  const latency = metrics.histogram(
    "e2e_request_latency_seconds",
    "Time to the last token",
    requestLatencyBuckets,
  );
  const queueTime = metrics.histogram(
    "request_queue_time_seconds",
    "Time in the queue",
    requestLatencyBuckets,
  );
  const phaseTimes = {
    inference: phaseTime(metrics, "inference", "out of the queue"),
    prefill: phaseTime(metrics, "prefill", "from the queue to the first token"),
    decode: phaseTime(metrics, "decode", "from the first token to the last"),
  };
  const promptLength = metrics.histogram(
    "request_prompt_tokens",
    "Prompt tokens of a request",
    tokenCountBuckets,
  );
  const answerLength = metrics.histogram(
    "request_generation_tokens",
    "Generated tokens of a request",
    tokenCountBuckets,
  );
  const maxTokens = metrics.histogram(
    "request_params_max_tokens",
    "Tokens that a request might have had",
    tokenCountBuckets,
  );
  const longestAnswer = metrics.histogram(
    "request_max_num_generation_tokens",
    "Generated tokens of a request",
    tokenCountBuckets,
  );
  const stepTokens = metrics.histogram(
    "iteration_tokens_total",
    "Tokens of one engine step",
    stepTokenBuckets,
  );

  return [
    subscribe("warmkv:request:finished", (event) => {
      const { numGeneratedTokens, timeToFirstTokenMs, endToEndMs } = event;
      requests.inc({ finished_reason: event.finishReason });
      promptTokens.inc(event.numPromptTokens);
      generationTokens.inc(numGeneratedTokens);
      for (const counter of queries) counter.inc(event.numPromptTokens);
      for (const counter of hits) counter.inc(event.numCachedTokens);
      latency.observe(endToEndMs / 1000);
      queueTime.observe(event.queueMs / 1000);
      promptLength.observe(event.numPromptTokens);
      answerLength.observe(numGeneratedTokens);
      longestAnswer.observe(numGeneratedTokens);
      maxTokens.observe(event.maxTokens);
      phaseTimes.inference.observe((endToEndMs - event.queueMs) / 1000);
      if (timeToFirstTokenMs === undefined) return;
      phaseTimes.prefill.observe((timeToFirstTokenMs - event.queueMs) / 1000);
      phaseTimes.decode.observe((endToEndMs - timeToFirstTokenMs) / 1000);
      timeToFirstToken.observe(timeToFirstTokenMs / 1000);
      if (numGeneratedTokens < 2) return;
      timePerToken.observe((endToEndMs - timeToFirstTokenMs) / 1000 / (numGeneratedTokens - 1));
    }),
    subscribe("warmkv:request:token", ({ intervalMs }) => {
      for (const histogram of tokenIntervals) histogram.observe(intervalMs / 1000);
    }),
    subscribe("warmkv:engine:step", (event) => stepTokens.observe(event.numTokens)),
    subscribe("warmkv:engine:preempted", () => preemptions.inc()),
    subscribe("warmkv:cache:lookup", (event) => storeQueries.inc(event.numTokens)),
    subscribe("warmkv:cache:retrieve", (event) => storeHits.inc(event.numTokens)),
  ];
}

function phaseTime(metrics: MetricFactory, phase: string, what: string): Histogram {
  return metrics.histogram(
    `request_${phase}_time_seconds`,
    `Time of a request ${what}`,
    requestLatencyBuckets,
  );
}

/** None where there are no modules. A step has one module at most. */
function loraLevels(stats: EngineStats): { labels: Record<string, string>; value: number }[] {
  const { runningModules, waitingModules } = stats;
  if (runningModules.length === 0 && waitingModules.length === 0) return [];
  const labels = {
    running_lora_adapters: runningModules.join(","),
    waiting_lora_adapters: waitingModules.join(","),
    max_lora: "1",
  };
  return [{ labels, value: 1 }];
}
