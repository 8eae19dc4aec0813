import { Registry, collectDefaultMetrics } from "prom-client";
import type { EngineStats } from "../engine/index.ts";
import { registerCacheMetrics } from "./cache-metrics.ts";
import { registerEmbeddingMetrics } from "./embedding-metrics.ts";
import { registerEngineMetrics } from "./engine-metrics.ts";
import { registerEventLoopLag } from "./event-loop-lag.ts";
import { registerHttpMetrics } from "./http-metrics.ts";
import type { TierLevels } from "./tier-levels.ts";

export interface MetricsOptions {
  /** The label `model_name`. */
  readonly modelName: string;
  readonly engineStats: () => EngineStats;
  /** Without it: no cache. */
  readonly tierLevels?: (() => readonly TierLevels[]) | undefined;
}

/**
 * Counts what happens from now on, under the names of vLLM (`vllm:`), LMCache (`lmcache:`) and our own
 * (`warmkv:`). One set for each process: events say nothing of which engine they come from.
 */
export class Metrics implements Disposable {
  readonly contentType: string = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #registries: readonly Registry[];
  readonly #unsubscribe: readonly (() => void)[];

  constructor(options: MetricsOptions) {
    const { modelName } = options;
    const processRegistry = new Registry();
    // Its own look at the event loop is replaced.
    collectDefaultMetrics({ register: processRegistry, eventLoopMonitoringPrecision: 1000 });

    const engineRegistry = new Registry();
    engineRegistry.setDefaultLabels({ model_name: modelName, engine: "0" });
    const cacheRegistry = new Registry();
    cacheRegistry.setDefaultLabels({
      model_name: modelName,
      served_model_name: modelName,
      worker_id: "0",
      role: "worker",
    });
    this.#registries = [engineRegistry, cacheRegistry, processRegistry];
    this.#unsubscribe = [
      registerEventLoopLag(processRegistry),
      ...registerHttpMetrics(processRegistry),
      ...registerEmbeddingMetrics(engineRegistry),
      ...registerEngineMetrics(engineRegistry, options.engineStats),
      ...registerCacheMetrics(cacheRegistry, options.tierLevels ?? (() => [])),
    ];
  }

  /** The Prometheus text format. */
  async render(): Promise<string> {
    const texts = await Promise.all(this.#registries.map((registry) => registry.metrics()));
    return texts.join("\n");
  }

  [Symbol.dispose](): void {
    for (const end of this.#unsubscribe) end();
    for (const registry of this.#registries) registry.clear();
  }
}
