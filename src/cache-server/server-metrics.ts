import { Counter, Gauge, Registry, collectDefaultMetrics } from "prom-client";
import type { TierStatus } from "../cache/index.ts";
import type { CacheServerStats } from "./server-stats.ts";

const PREFIX = "warmkv:cache_server_";

interface Sample {
  readonly labels?: Record<string, string>;
  readonly value: number;
}

/** The server's counters for Prometheus: read when somebody asks, so that requests pay nothing. */
export class ServerMetrics {
  readonly contentType: string = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #registry = new Registry();
  readonly #stats: () => CacheServerStats;

  constructor(stats: () => CacheServerStats) {
    this.#stats = stats;
    collectDefaultMetrics({ register: this.#registry });
    this.#counters();
    this.#levels();
    this.#tierLevels();
  }

  /** The Prometheus text format. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }

  #counters(): void {
    this.#counter("requests_total", "Requests", ["command"], (stats) =>
      labelled("command", stats.numRequests),
    );
    this.#counter("hits_total", "GETs that brought a value", [], (stats) => one(stats.numHits));
    this.#counter("misses_total", "GETs that did not", [], (stats) => one(stats.numMisses));
    this.#counter("received_bytes_total", "Bytes of values received", [], (stats) =>
      one(stats.receivedBytes),
    );
    this.#counter("sent_bytes_total", "Bytes of values sent", [], (stats) => one(stats.sentBytes));
    this.#counter("connections_total", "Connections accepted", [], (stats) =>
      one(stats.numConnectionsAccepted),
    );
    this.#counter("cut_connections_total", "Connections that were closed", ["reason"], (stats) =>
      labelled("reason", stats.numCut),
    );
    this.#counter("dropped_values_total", "Values put and not stored", ["reason"], (stats) =>
      labelled("reason", stats.numDropped),
    );
  }

  #levels(): void {
    this.#gauge("connections", "Connections", [], (stats) => one(stats.numConnections));
    this.#gauge("incoming_bytes", "Bytes of values on their way in", [], ({ pool }) =>
      one(pool.incomingBytes),
    );
    this.#gauge("pool_used_bytes", "Bytes of RAM in use", [], ({ pool }) => one(pool.usedBytes));
    this.#gauge("pool_capacity_bytes", "Bytes of RAM there are", [], ({ pool }) =>
      one(pool.capacityBytes),
    );
  }

  #tierLevels(): void {
    const tier = (name: string, help: string, read: (tier: TierStatus) => number): void =>
      this.#gauge(name, help, ["tier"], ({ tiers }) =>
        Object.entries(tiers).map(([label, stats]) => ({
          labels: { tier: label },
          value: read(stats),
        })),
      );
    tier("tier_up", "1, or 0 while a tier is away", (stats) => (stats.isUp ? 1 : 0));
    tier("tier_used_bytes", "Bytes held by a tier", (stats) => stats.usedBytes);
    tier("tier_capacity_bytes", "Bytes a tier may hold", (stats) => stats.capacityBytes);
    tier("tier_values", "Values held by a tier", (stats) => stats.numChunks);
    const counted = (name: string, help: string, read: (tier: TierStatus) => number): void =>
      this.#counter(name, help, ["tier"], ({ tiers }) =>
        Object.entries(tiers).map(([label, stats]) => ({
          labels: { tier: label },
          value: read(stats),
        })),
      );
    counted("tier_hits_total", "Values found in a tier", (stats) => stats.numHits);
    counted("tier_misses_total", "Values not found in a tier", (stats) => stats.numMisses);
    counted("tier_stored_total", "Values stored in a tier", (stats) => stats.numStored);
    counted("tier_evicted_total", "Values evicted from a tier", (stats) => stats.numEvicted);
    counted("tier_refused_total", "Values a tier had no room for", (stats) => stats.numRefused);
    counted("tier_damaged_total", "Values found damaged and removed", (stats) => stats.numDamaged);
  }

  #counter(name: string, help: string, labelNames: string[], read: Read): void {
    const stats = this.#stats;
    new Counter({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [this.#registry],
      collect(this: Counter) {
        this.reset();
        for (const { labels = {}, value } of read(stats())) this.inc(labels, value);
      },
    });
  }

  #gauge(name: string, help: string, labelNames: string[], read: Read): void {
    const stats = this.#stats;
    new Gauge({
      name: PREFIX + name,
      help,
      labelNames,
      registers: [this.#registry],
      collect(this: Gauge) {
        for (const { labels = {}, value } of read(stats())) this.set(labels, value);
      },
    });
  }
}

type Read = (stats: CacheServerStats) => readonly Sample[];

function one(value: number): Sample[] {
  return [{ value }];
}

function labelled(label: string, values: Readonly<Record<string, number>>): Sample[] {
  return Object.entries(values).map(([name, value]) => ({ labels: { [label]: name }, value }));
}
