import { Counter, Gauge, Histogram } from "prom-client";
import type { Registry } from "prom-client";

/** Makes metrics of one registry whose names share a prefix. */
export class MetricFactory {
  readonly #registry: Registry;
  readonly #prefix: string;

  constructor(registry: Registry, prefix: string) {
    this.#registry = registry;
    this.#prefix = prefix;
  }

  counter(name: string, help: string, labelNames: string[] = []): Counter {
    return new Counter({ name: this.#prefix + name, help, labelNames, registers: this.#registers });
  }

  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    return new Histogram({
      name: this.#prefix + name,
      help,
      buckets: [...buckets],
      registers: this.#registers,
    });
  }

  /** A gauge that is read when somebody asks. */
  level(name: string, help: string, read: () => number): void {
    this.labelledLevels(name, help, [], () => [{ labels: {}, value: read() }]);
  }

  labelledLevels(
    name: string,
    help: string,
    labelNames: string[],
    read: () => readonly { labels: Record<string, string>; value: number }[],
  ): void {
    new Gauge({
      name: this.#prefix + name,
      help,
      labelNames,
      registers: this.#registers,
      collect(this: Gauge) {
        // What is no longer told of is no longer there.
        if (labelNames.length > 0) this.reset();
        for (const { labels, value } of read()) this.set(labels, value);
      },
    });
  }

  get #registers(): Registry[] {
    return [this.#registry];
  }
}
