import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import {
  generateTrace,
  readTrace,
  runSimulation,
  type SimulationReport,
  simulationPolicyNames,
  type TraceRequest,
} from "../../../src/simulate/index.ts";

/** The first 780 requests of Mooncake's conversation trace (Apache-2.0). */
const SAMPLE = fileURLToPath(
  new URL("../../fixtures/conversation-trace-head.jsonl", import.meta.url),
);

function simulate(
  trace: AsyncIterable<TraceRequest> | Iterable<TraceRequest>,
  capacities: readonly number[],
): Promise<SimulationReport> {
  return runSimulation(trace, {
    traceName: "test",
    policies: simulationPolicyNames,
    capacities,
    diskCapacities: [],
    blockTokens: 512,
    bytesPerToken: 1,
    savesUnfullChunk: true,
    hasBounds: true,
  });
}

function hitPercent(report: SimulationReport, policy: string, capacity: number): number {
  const row = report.results.find(
    (each) => each.policy === policy && each.capacities[0] === capacity,
  );
  return (100 * row!.numHitChunks) / report.trace.numChunks;
}

describe("hit rates on a sample of recorded traffic", () => {
  it("are those that were measured, and highest with ADAPTIVE at every size", async () => {
    const capacities = [500, 1000, 5000];
    const report = await simulate(readTrace(SAMPLE, 512), capacities);
    expect(report.trace).toMatchObject({ numRequests: 780 });
    expect(hitPercent(report, "LRU", 1000)).toBeCloseTo(3.86, 2);
    expect(hitPercent(report, "LRU", 5000)).toBeCloseTo(9.73, 2);
    expect(hitPercent(report, "BELADY", 1000)).toBeCloseTo(15.61, 2);
    expect(hitPercent(report, "INFINITE", 1000)).toBeCloseTo(18.48, 2);
    for (const capacity of capacities) {
      for (const policy of simulationPolicyNames) {
        expect(hitPercent(report, "ADAPTIVE", capacity)).toBeGreaterThanOrEqual(
          hitPercent(report, policy, capacity),
        );
      }
    }
  });
});

describe("hit rates on made-up traffic", () => {
  it("are within half a point of the best policy or above with ADAPTIVE at every size", async () => {
    const capacities = [1000, 5000];
    const trace = generateTrace({ numRequests: 1500, blockTokens: 512, seed: 3 });
    const report = await simulate(trace, capacities);
    for (const capacity of capacities) {
      for (const policy of simulationPolicyNames) {
        expect(hitPercent(report, "ADAPTIVE", capacity)).toBeGreaterThan(
          hitPercent(report, policy, capacity) - 0.5,
        );
      }
    }
  });
});
