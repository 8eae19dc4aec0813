import { arch, availableParallelism, cpus, loadavg, platform, totalmem } from "node:os";

/** Where a measurement was taken: what a reader needs to compare it with another. */
export interface Machine {
  readonly platform: string;
  readonly cpu: string;
  readonly numCores: number;
  readonly memoryBytes: number;
  readonly nodeVersion: string;
  /** Over 1, 5 and 15 minutes, before and after: a busy machine makes figures worthless. */
  readonly loadAverageAtStart: readonly number[];
  readonly loadAverageAtEnd: readonly number[];
}

/** @returns a function to call when the measurement is over */
export function observeMachine(): () => Machine {
  const loadAverageAtStart = roundedLoad();
  return () => ({
    platform: `${platform()}-${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    numCores: availableParallelism(),
    memoryBytes: totalmem(),
    nodeVersion: process.version,
    loadAverageAtStart,
    loadAverageAtEnd: roundedLoad(),
  });
}

function roundedLoad(): number[] {
  return loadavg().map((load) => Math.round(load * 100) / 100);
}
