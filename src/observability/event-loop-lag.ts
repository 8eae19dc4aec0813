import { monitorEventLoopDelay } from "node:perf_hooks";
import type { IntervalHistogram } from "node:perf_hooks";
import { Gauge } from "prom-client";
import type { Registry } from "prom-client";

/** How often the lag is looked at. More often costs more: at 1 ms it is 2 % of a core. */
const INTERVAL_MS = 10;

type Read = (histogram: IntervalHistogram) => number;

/** Node measures the time between two looks, interval included: the lag is what is beyond. In nanoseconds. */
const VALUES: Readonly<Record<string, Read>> = {
  min: ({ min }) => beyondInterval(min),
  max: ({ max }) => beyondInterval(max),
  mean: ({ mean }) => beyondInterval(mean),
  stddev: ({ stddev }) => stddev,
  p50: (histogram) => beyondInterval(histogram.percentile(50)),
  p90: (histogram) => beyondInterval(histogram.percentile(90)),
  p99: (histogram) => beyondInterval(histogram.percentile(99)),
};

function beyondInterval(nanoseconds: number): number {
  return Math.max(0, nanoseconds - INTERVAL_MS * 1e6);
}

/**
 * prom-client's gauges of this name count the interval in, so that a loop that never lags shows 10 ms. Each look at
 * the metrics begins anew.
 *
 * @returns a function that ends the measuring
 */
export function registerEventLoopLag(registry: Registry): () => void {
  const histogram = monitorEventLoopDelay({ resolution: INTERVAL_MS });
  histogram.enable();
  const names = Object.keys(VALUES);
  for (const [name, read] of Object.entries(VALUES)) {
    const fullName = `nodejs_eventloop_lag_${name}_seconds`;
    registry.removeSingleMetric(fullName);
    new Gauge({
      name: fullName,
      help: "How late the event loop was, since the last look at this",
      registers: [registry],
      collect() {
        // Nothing was measured yet: Node's numbers are not a number, or the highest there is.
        this.set(histogram.count === 0 ? 0 : read(histogram) / 1e9);
        if (name === names.at(-1)) histogram.reset();
      },
    });
  }
  return () => {
    histogram.disable();
  };
}
