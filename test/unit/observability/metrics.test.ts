import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { publish } from "../../../src/core/index.ts";
import { Metrics } from "../../../src/observability/index.ts";
import type { TierLevels } from "../../../src/observability/index.ts";

const tiers: TierLevels[] = [
  {
    name: "LocalCPUBackend",
    numChunks: 3,
    usedBytes: 300,
    capacityBytes: 900,
    numHits: 5,
    numMisses: 1,
    isUp: true,
  },
  {
    name: "LocalDiskBackend",
    numChunks: 4,
    usedBytes: 400,
    capacityBytes: 999,
    numHits: 2,
    numMisses: 0,
    isUp: false,
  },
];

let metrics: Metrics;

beforeEach(() => {
  metrics = new Metrics({
    modelName: "fake",
    engineStats: () => ({
      numRunning: 2,
      numWaiting: 7,
      runningModules: ["sql", "poems"],
      waitingModules: [],
      numUsedCells: 25,
      numCells: 100,
    }),
    tierLevels: () => tiers,
  });
});
afterEach(() => metrics[Symbol.dispose]());

/** Name and labels (but those every metric has) -> value. */
async function values(): Promise<Map<string, number>> {
  const text = await metrics.render();
  const result = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([\w:]+)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null) continue;
    const labels = (match[2] ?? "")
      .split(",")
      .filter((label) => !/^(model_name|served_model_name|worker_id|role|engine)=/.test(label))
      .join(",");
    result.set(labels === "" ? match[1]! : `${match[1]}{${labels}}`, Number(match[3]));
  }
  return result;
}

const finished = {
  id: "a",
  finishReason: "stop",
  numPromptTokens: 100,
  numCachedTokens: 60,
  numGeneratedTokens: 11,
  maxTokens: 30,
  timeToFirstTokenMs: 500,
  endToEndMs: 2500,
  queueMs: 20,
} as const;

describe("Metrics", () => {
  it("shows the engine's levels under vLLM's names", async () => {
    const shown = await values();
    expect(shown.get("vllm:num_requests_running")).toBe(2);
    expect(shown.get("vllm:num_requests_waiting")).toBe(7);
    expect(shown.get("vllm:kv_cache_usage_perc")).toBe(0.25);
    expect(shown.get("vllm:gpu_cache_usage_perc")).toBe(0.25);
  });

  it("counts finished requests", async () => {
    publish("warmkv:request:finished", finished);
    publish("warmkv:request:finished", {
      ...finished,
      finishReason: "abort",
      numGeneratedTokens: 0,
      timeToFirstTokenMs: undefined,
    });
    publish("warmkv:engine:preempted", { id: "a" });
    publish("warmkv:engine:step", { numTokens: 64, durationMs: 3 });
    const shown = await values();
    expect(shown.get("vllm:prompt_tokens_total")).toBe(200);
    expect(shown.get("vllm:generation_tokens_total")).toBe(11);
    expect(shown.get("vllm:prefix_cache_queries_total")).toBe(200);
    expect(shown.get("vllm:prefix_cache_hits_total")).toBe(120);
    expect(shown.get('vllm:request_success_total{finished_reason="stop"}')).toBe(1);
    expect(shown.get('vllm:request_success_total{finished_reason="abort"}')).toBe(1);
    expect(shown.get("vllm:time_to_first_token_seconds_count")).toBe(1);
    expect(shown.get("vllm:time_to_first_token_seconds_sum")).toBe(0.5);
    expect(shown.get("vllm:e2e_request_latency_seconds_sum")).toBe(5);
    expect(shown.get("vllm:request_queue_time_seconds_count")).toBe(2);
    expect(shown.get("vllm:request_time_per_output_token_seconds_sum")).toBeCloseTo(0.2);
    expect(shown.get("vllm:gpu_prefix_cache_hits_total")).toBe(120);
    expect(shown.get("vllm:request_inference_time_seconds_count")).toBe(2);
    expect(shown.get("vllm:request_prefill_time_seconds_sum")).toBeCloseTo(0.48);
    expect(shown.get("vllm:request_decode_time_seconds_sum")).toBe(2);
    expect(shown.get("vllm:num_preemptions_total")).toBe(1);
    expect(shown.get('vllm:iteration_tokens_total_bucket{le="64"}')).toBe(1);
    expect(shown.get('vllm:iteration_tokens_total_bucket{le="32"}')).toBe(0);
  });

  it("counts embeddings", async () => {
    publish("warmkv:embedding:finished", { numTexts: 3, numTokens: 50, durationMs: 20 });
    const shown = await values();
    expect(shown.get("warmkv:embedding_texts_total")).toBe(3);
    expect(shown.get("warmkv:embedding_tokens_total")).toBe(50);
    expect(shown.get("warmkv:embedding_request_seconds_count")).toBe(1);
    expect(shown.get("vllm:prompt_tokens_total")).toBe(0);
  });

  it("counts requests over HTTP as vLLM does", async () => {
    const request = { method: "POST", route: "/v1/completions", status: 429, durationMs: 5 };
    publish("warmkv:http:request", request);
    publish("warmkv:http:request", { ...request, route: undefined });
    const text = await metrics.render();
    for (const handler of ["/v1/completions", "none"]) {
      const labels = `handler="${handler}",method="POST"`;
      expect(text).toContain(`http_requests_total{${labels},status="4xx"} 1\n`);
      expect(text).toContain(`http_request_duration_seconds_count{${labels}} 1\n`);
    }
  });

  it("tells cells and LoRA modules", async () => {
    const text = await metrics.render();
    expect(text).toMatch(/^vllm:cache_config_info\{block_size="1",num_gpu_blocks="100",.*\} 1$/m);
    expect(text).toMatch(/^vllm:lora_requests_info\{running_lora_adapters="sql,poems",/m);
  });

  it("shows no lag of an event loop that has none", async () => {
    const lag = async (name: string): Promise<number> =>
      (await values()).get(`nodejs_eventloop_lag_${name}_seconds`)!;
    expect(await lag("p99")).toBe(0);
    await new Promise((resolve) => setTimeout(resolve, 25));
    const endMs = performance.now() + 150;
    while (performance.now() < endMs);
    await new Promise((resolve) => setTimeout(resolve, 25));
    const max = await lag("max");
    expect(max).toBeGreaterThan(0.1);
    // Each look begins anew.
    expect(await lag("max")).toBeLessThan(max);
  });

  it("counts the time between two tokens under the present and the older name", async () => {
    publish("warmkv:request:token", { intervalMs: 30 });
    publish("warmkv:request:token", { intervalMs: 70 });
    const shown = await values();
    for (const name of ["inter_token_latency_seconds", "time_per_output_token_seconds"]) {
      expect(shown.get(`vllm:${name}_sum`)).toBe(0.1);
      expect(shown.get(`vllm:${name}_bucket{le="0.05"}`)).toBe(1);
    }
  });

  it("counts the cache under LMCache's names", async () => {
    publish("warmkv:cache:lookup", { numTokens: 1000, numHitTokens: 512, durationMs: 1 });
    publish("warmkv:cache:lookup", { numTokens: 10, numHitTokens: 0, durationMs: 1 });
    publish("warmkv:cache:retrieve", {
      numTokens: 500,
      numRequestedTokens: 512,
      numBytes: 1,
      durationMs: 50,
    });
    publish("warmkv:cache:store", { numTokens: 256, numBytes: 1, durationMs: 128 });
    const shown = await values();
    expect(shown.get("lmcache:num_lookup_requests_total")).toBe(2);
    expect(shown.get("lmcache:lookup_0_hit_requests_total")).toBe(1);
    expect(shown.get("lmcache:num_lookup_tokens_total")).toBe(1010);
    expect(shown.get("lmcache:num_lookup_hits_total")).toBe(512);
    expect(shown.get("lmcache:num_requested_tokens_total")).toBe(512);
    expect(shown.get("lmcache:num_hit_tokens_total")).toBe(500);
    expect(shown.get("lmcache:time_to_retrieve_sum")).toBe(0.05);
    expect(shown.get("lmcache:retrieve_speed_sum")).toBe(10_000);
    expect(shown.get("lmcache:num_stored_tokens_total")).toBe(256);
    expect(shown.get("lmcache:store_speed_sum")).toBe(2000);
    expect(shown.get("vllm:external_prefix_cache_queries_total")).toBe(1010);
    expect(shown.get("vllm:external_prefix_cache_hits_total")).toBe(500);
  });

  it("shows tiers, evictions and troubles", async () => {
    publish("warmkv:cache:evicted", { tier: "LocalCPUBackend", numChunks: 4 });
    publish("warmkv:cache:evicted", { tier: "LocalDiskBackend", numChunks: 9 });
    publish("warmkv:cache:refused", { tier: "LocalCPUBackend", numChunks: 2 });
    publish("warmkv:cache:damaged", { tier: "LocalDiskBackend", key: "k", reason: "checksum" });
    publish("warmkv:tier:failed", { tier: "RemoteBackend", code: "timeout" });
    const shown = await values();
    expect(shown.get("lmcache:local_cache_usage")).toBe(300);
    expect(shown.get("lmcache:local_storage_usage")).toBe(400);
    expect(shown.get("lmcache:remote_cache_usage")).toBe(0);
    expect(shown.get('warmkv:tier_capacity_bytes{tier="LocalDiskBackend"}')).toBe(999);
    expect(shown.get('warmkv:tier_up{tier="LocalCPUBackend"}')).toBe(1);
    expect(shown.get('warmkv:tier_up{tier="LocalDiskBackend"}')).toBe(0);
    expect(shown.get("lmcache:local_cpu_evict_count_total")).toBe(1);
    expect(shown.get("lmcache:local_cpu_evict_keys_count_total")).toBe(4);
    expect(shown.get("lmcache:local_cpu_evict_failed_count_total")).toBe(2);
    expect(shown.get('warmkv:evicted_chunks_total{tier="LocalDiskBackend"}')).toBe(9);
    expect(shown.get('warmkv:damaged_chunks_total{tier="LocalDiskBackend"}')).toBe(1);
    expect(shown.get('warmkv:tier_failures_total{tier="RemoteBackend",code="timeout"}')).toBe(1);
  });

  it("counts claims, and how long others waited for them", async () => {
    publish("warmkv:claim:taken", { numChunks: 4 });
    publish("warmkv:claim:waited", { durationMs: 250, numChunks: 4 });
    publish("warmkv:claim:waited", { durationMs: 500, numChunks: 0 });
    const shown = await values();
    expect(shown.get("warmkv:prefill_claims_total")).toBe(1);
    expect(shown.get("warmkv:prefill_claim_wait_seconds_count")).toBe(2);
    expect(shown.get("warmkv:prefill_claim_wait_seconds_sum")).toBe(0.75);
  });

  it("labels every vllm: and lmcache: metric with the model, once", async () => {
    const lines = (await metrics.render())
      .split("\n")
      .filter((line) => /^(vllm|lmcache):/.test(line));
    expect(lines.length).toBeGreaterThan(100);
    for (const line of lines) expect(line).toContain('model_name="fake"');
    const names = lines.map((line) => line.slice(0, line.lastIndexOf(" ")));
    expect(new Set(names).size).toBe(names.length);
  });

  it("is text that Prometheus reads: each name described once, the end a line break", async () => {
    const text = await metrics.render();
    const described = [...text.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]);
    expect(new Set(described).size).toBe(described.length);
    expect(text.endsWith("\n")).toBe(true);
    expect(text).toContain("process_resident_memory_bytes");
    expect(text).toContain("nodejs_eventloop_lag_p99_seconds");
  });

  it("counts nothing more once it is disposed", async () => {
    metrics[Symbol.dispose]();
    publish("warmkv:request:finished", finished);
    expect((await values()).get("vllm:prompt_tokens_total")).toBeUndefined();
  });
});
