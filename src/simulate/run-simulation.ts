import { TraceBounds } from "./belady.ts";
import { promptOf } from "./prompt.ts";
import type { SimulationReport, SimulationRow } from "./report.ts";
import { SimulatedTier } from "./simulated-tier.ts";
import { Simulation } from "./simulation.ts";
import { createSimulationPolicy } from "./simulation-policy.ts";
import type { TraceRequest } from "./trace.ts";

export interface SimulationSettings {
  /** How the trace is called in the report. */
  readonly traceName: string;
  /** As in `simulationPolicyNames`. */
  readonly policies: readonly string[];
  /** Capacities of the first tier, in chunks. */
  readonly capacities: readonly number[];
  /** Capacities of a second tier behind it; empty: there is none. */
  readonly diskCapacities: readonly number[];
  /** Tokens of a block of the trace, which is one chunk. */
  readonly blockTokens: number;
  readonly bytesPerToken: number;
  readonly savesUnfullChunk: boolean;
  /** Whether to compute what no policy can exceed. Needs memory for the whole trace. */
  readonly hasBounds: boolean;
  /** Called now and then. */
  readonly onProgress?: ((numRequests: number) => void) | undefined;
}

const REQUESTS_PER_PROGRESS = 500;

/** Runs a trace once through a cache for each policy and size. */
export async function runSimulation(
  trace: AsyncIterable<TraceRequest> | Iterable<TraceRequest>,
  settings: SimulationSettings,
): Promise<SimulationReport> {
  const { blockTokens, policies, onProgress } = settings;
  const sizes = cacheSizes(settings);
  const simulations = sizes.flatMap((size) =>
    policies.map((policy) => {
      const tiers = size.map((capacity, index) => {
        const name = index === 0 ? "cpu" : "disk";
        return new SimulatedTier(name, capacity, createSimulationPolicy(policy, capacity));
      });
      return new Simulation(policy, tiers, settings.savesUnfullChunk);
    }),
  );
  const bounds = settings.hasBounds ? new TraceBounds(blockTokens) : undefined;
  let numRequests = 0;
  let numChunks = 0;
  let numTokens = 0;
  let durationMs = 0;
  for await (const request of trace) {
    const prompt = promptOf(request, blockTokens);
    for (const simulation of simulations) simulation.run(prompt);
    bounds?.observe(request);
    numRequests++;
    numChunks += request.blocks.length;
    numTokens += request.numInputTokens;
    durationMs = Math.max(durationMs, request.timestampMs);
    if (numRequests % REQUESTS_PER_PROGRESS === 0) onProgress?.(numRequests);
  }
  const rows = simulations.map((simulation) => simulation.result());
  return {
    trace: { name: settings.traceName, numRequests, numChunks, numTokens, durationMs },
    blockTokens,
    bytesPerToken: settings.bytesPerToken,
    savesUnfullChunk: settings.savesUnfullChunk,
    results: bounds ? [...rows, ...boundRows(bounds, sizes)] : rows,
  };
}

function cacheSizes(settings: SimulationSettings): number[][] {
  const { capacities, diskCapacities } = settings;
  if (diskCapacities.length === 0) return capacities.map((capacity) => [capacity]);
  return capacities.flatMap((capacity) => diskCapacities.map((disk) => [capacity, disk]));
}

/** Two tiers hold no more different chunks than one of the size of both. */
function boundRows(bounds: TraceBounds, sizes: readonly number[][]): SimulationRow[] {
  return sizes.flatMap((size) => {
    const total = size.reduce((sum, capacity) => sum + capacity, 0);
    return [
      { policy: "BELADY", capacities: size, tiers: [], ...bounds.belady(total) },
      { policy: "INFINITE", capacities: size, tiers: [], ...bounds.infinite() },
    ];
  });
}
