import { Counter, Histogram } from "prom-client";
import type { Registry } from "prom-client";
import { subscribe } from "../core/index.ts";

/** Seconds, as vLLM has them. */
const DURATION_BUCKETS = [0.1, 0.5, 1];

/** vLLM's counts of HTTP requests. @returns functions that end the subscriptions */
export function registerHttpMetrics(registry: Registry): (() => void)[] {
  const registers = [registry];
  const requests = new Counter({
    name: "http_requests_total",
    help: "Requests by route and status",
    labelNames: ["handler", "method", "status"],
    registers,
  });
  const seconds = new Histogram({
    name: "http_request_duration_seconds",
    help: "Time until the headers of an answer",
    labelNames: ["handler", "method"],
    buckets: DURATION_BUCKETS,
    registers,
  });
  return [
    subscribe("warmkv:http:request", ({ method, route, status, durationMs }) => {
      const handler = route ?? "none";
      requests.inc({ handler, method, status: `${Math.floor(status / 100)}xx` });
      seconds.observe({ handler, method }, durationMs / 1000);
    }),
  ];
}
