import { describe, expect, it } from "vitest";
import { plotSvg } from "../../../src/plot/index.ts";
import {
  hitRatePlot,
  reportJson,
  reportTable,
  runSimulation,
  type SimulationReport,
  type SimulationSettings,
} from "../../../src/simulate/index.ts";
import { CHUNK_TOKENS, request } from "./replay.ts";

const TRACE = [request([0, 1]), request([0, 2], 900), request([0, 1], 500)];

function simulate(settings: Partial<SimulationSettings> = {}): Promise<SimulationReport> {
  return runSimulation(TRACE, {
    traceName: "three <prompts>",
    policies: ["LRU"],
    capacities: [2],
    diskCapacities: [],
    blockTokens: CHUNK_TOKENS,
    bytesPerToken: 1024,
    savesUnfullChunk: true,
    hasBounds: false,
    ...settings,
  });
}

describe("runSimulation()", () => {
  it("describes the trace and runs each policy at each size", async () => {
    const report = await simulate({ policies: ["LRU", "FIFO"], capacities: [2, 9] });
    expect(report.trace).toEqual({
      name: "three <prompts>",
      numRequests: 3,
      numChunks: 6,
      numTokens: 60,
      durationMs: 900,
    });
    const hits = report.results.map((row) => [row.policy, row.capacities[0], row.numHitChunks]);
    expect(hits).toEqual([
      ["LRU", 2, 2],
      ["FIFO", 2, 2],
      ["LRU", 9, 3],
      ["FIFO", 9, 3],
    ]);
  });

  it("bounds two tiers by one of the size of both", async () => {
    const report = await simulate({ capacities: [1], diskCapacities: [1, 5], hasBounds: true });
    const rows = report.results.map((row) => [row.policy, row.capacities, row.numHitChunks]);
    expect(rows.slice(2)).toEqual([
      ["BELADY", [1, 1], 3],
      ["INFINITE", [1, 1], 3],
      ["BELADY", [1, 5], 3],
      ["INFINITE", [1, 5], 3],
    ]);
  });

  it("tells how far it has come", async () => {
    const seen: number[] = [];
    const onProgress = (numRequests: number): void => void seen.push(numRequests);
    const long = Array.from({ length: 1100 }, (_, block) => request([block]));
    await runSimulation(long, { ...(await settingsOf()), onProgress });
    expect(seen).toEqual([500, 1000]);
  });
});

async function settingsOf(): Promise<SimulationSettings> {
  return {
    traceName: "long",
    policies: ["LRU"],
    capacities: [2],
    diskCapacities: [],
    blockTokens: CHUNK_TOKENS,
    bytesPerToken: 1,
    savesUnfullChunk: true,
    hasBounds: false,
  };
}

describe("reportTable()", () => {
  it("shows rates and bytes of one tier", async () => {
    expect(reportTable(await simulate({ hasBounds: true }))).toEqual([
      ["policy", "cpu chunks", "hit %", "token hit %", "cpu read", "cpu written"],
      ["LRU", "2", "33.33", "33.33", "20.00 KiB", "40.00 KiB"],
      ["BELADY", "2", "50.00", "50.00", "-", "-"],
      ["INFINITE", "2", "50.00", "50.00", "-", "-"],
    ]);
  });

  it("shows both tiers when there are two", async () => {
    const [head, row] = reportTable(await simulate({ capacities: [1], diskCapacities: [9] }));
    expect(head).toEqual([
      "policy",
      "cpu chunks",
      "disk chunks",
      "hit %",
      "token hit %",
      "cpu read",
      "cpu written",
      "disk read",
      "disk written",
    ]);
    expect(row).toEqual([
      "LRU",
      "1",
      "9",
      "50.00",
      "50.00",
      "20.00 KiB",
      "10.00 KiB",
      "10.00 KiB",
      "30.00 KiB",
    ]);
  });

  it("has a rate of zero for an empty trace", async () => {
    const report = await runSimulation([], await settingsOf());
    expect(reportTable(report)[1]!.slice(2, 4)).toEqual(["0.00", "0.00"]);
  });
});

describe("reportJson()", () => {
  it("adds rates and bytes to the counts", async () => {
    expect(reportJson(await simulate())).toMatchObject({
      blockTokens: 10,
      bytesPerToken: 1024,
      trace: { numRequests: 3 },
      results: [
        {
          policy: "LRU",
          hitRate: 1 / 3,
          tokenHitRate: 1 / 3,
          tiers: [
            { name: "cpu", capacity: 2, numHits: 2, readBytes: 20_480, writtenBytes: 40_960 },
          ],
        },
      ],
    });
  });
});

describe("hitRatePlot()", () => {
  it("draws a line for each policy and a dashed one for each bound", async () => {
    const report = await simulate({
      policies: ["LRU", "ADAPTIVE"],
      capacities: [1, 2, 3],
      hasBounds: true,
    });
    const svg = plotSvg(hitRatePlot(report));
    for (const text of ["LRU", "ADAPTIVE", "BELADY", "INFINITE", "three &lt;prompts&gt;"]) {
      expect(svg).toContain(text);
    }
    expect(svg.match(/aria-label="line"/g)).toHaveLength(2);
    expect(svg).toContain('stroke-dasharray="5 4"');
  });

  it("draws a panel for each size of the disk", async () => {
    const report = await simulate({ capacities: [1, 2], diskCapacities: [3000, 6000] });
    const svg = plotSvg(hitRatePlot(report));
    expect(svg).toContain("disk capacity in chunks");
    expect(svg).toContain("3,000");
    expect(svg).toContain("6,000");
  });
});
