import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TraceBounds } from "../../../src/simulate/belady.ts";
import { runSimulation } from "../../../src/simulate/run-simulation.ts";
import { simulationPolicyNames } from "../../../src/simulate/simulation-policy.ts";
import type { TraceRequest } from "../../../src/simulate/trace.ts";
import { CHUNK_TOKENS, request } from "./replay.ts";

function boundsOf(trace: readonly TraceRequest[]): TraceBounds {
  const bounds = new TraceBounds(CHUNK_TOKENS);
  for (const each of trace) bounds.observe(each);
  return bounds;
}

/** Prompts that share prefixes: each goes on from some place in an earlier one. */
const traces = fc
  .array(
    fc.record({
      from: fc.nat(1000),
      keep: fc.nat(8),
      length: fc.integer({ min: 1, max: 8 }),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((steps) => {
    let nextBlock = 0;
    const trace: TraceRequest[] = [];
    for (const { from, keep, length } of steps) {
      const kept = trace.length === 0 ? [] : trace[from % trace.length]!.blocks.slice(0, keep);
      const blocks = [...kept];
      while (blocks.length < length) blocks.push(nextBlock++);
      trace.push(request(blocks));
    }
    return trace;
  });

/** The best that any choice could do, by trying all. */
function bestOfAll(blocks: readonly number[], capacity: number): number {
  const tries = (at: number, resident: readonly number[]): number => {
    if (at === blocks.length) return 0;
    const block = blocks[at]!;
    if (resident.includes(block)) return 1 + tries(at + 1, resident);
    const choices = [resident];
    if (resident.length < capacity) choices.push([...resident, block]);
    for (const victim of resident) {
      choices.push([...resident.filter((each) => each !== victim), block]);
    }
    return Math.max(...choices.map((choice) => tries(at + 1, choice)));
  };
  return tries(0, []);
}

describe("TraceBounds", () => {
  it("knows the best for a trace computed by hand", () => {
    const bounds = boundsOf([0, 1, 2, 0, 1, 2].map((block) => request([block])));
    expect([0, 1, 2, 3].map((capacity) => bounds.belady(capacity).numHitChunks)).toEqual([
      0, 1, 2, 3,
    ]);
    expect(bounds.infinite()).toEqual({ numHitChunks: 3, numHitTokens: 30 });
  });

  it("gives up suffixes before prefixes, and takes in nothing that is not used again", () => {
    const bounds = boundsOf([request([0, 1]), request([0, 2]), request([0, 1])]);
    expect(bounds.belady(2)).toEqual({ numHitChunks: 3, numHitTokens: 30 });
    expect(bounds.belady(1)).toEqual({ numHitChunks: 2, numHitTokens: 20 });
  });

  it("is as good as the best of all possible choices", () => {
    const blocks = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 9 });
    fc.assert(
      fc.property(blocks, fc.integer({ min: 1, max: 3 }), (sequence, capacity) => {
        const bounds = boundsOf(sequence.map((block) => request([block])));
        expect(bounds.belady(capacity).numHitChunks).toBe(bestOfAll(sequence, capacity));
      }),
    );
  });

  it("is never below any policy and never above the cache without end", async () => {
    await fc.assert(
      fc.asyncProperty(traces, fc.integer({ min: 1, max: 30 }), async (trace, capacity) => {
        const report = await runSimulation(trace, {
          traceName: "random",
          policies: simulationPolicyNames,
          capacities: [capacity],
          diskCapacities: [],
          blockTokens: CHUNK_TOKENS,
          bytesPerToken: 1,
          savesUnfullChunk: true,
          hasBounds: true,
        });
        const hits = new Map(report.results.map((row) => [row.policy, row.numHitChunks]));
        const best = hits.get("BELADY")!;
        for (const policy of simulationPolicyNames) {
          expect(hits.get(policy)).toBeLessThanOrEqual(best);
        }
        expect(best).toBeLessThanOrEqual(hits.get("INFINITE")!);
        expect(boundsOf(trace).belady(capacity + 1).numHitChunks).toBeGreaterThanOrEqual(best);
      }),
      { numRuns: 60 },
    );
  });
});
