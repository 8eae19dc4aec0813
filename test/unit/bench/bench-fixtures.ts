import type { Machine } from "../../../src/bench/machine.ts";
import type { Summary } from "../../../src/bench/statistics.ts";

export const MACHINE: Machine = {
  platform: "linux-x64",
  cpu: "a CPU",
  numCores: 2,
  memoryBytes: 2 ** 34,
  nodeVersion: "v20.20.2",
  loadAverageAtStart: [0.1, 0.2, 0.3],
  loadAverageAtEnd: [1, 0.5, 0.3],
};

/** Of three values about this one. */
export function summary(median: number): Summary {
  return { median, min: median / 2, max: median * 2, count: 3 };
}
