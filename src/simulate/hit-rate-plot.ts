import * as Plot from "@observablehq/plot";
import type { SimulationReport } from "./report.ts";

const BOUNDS = ["BELADY", "INFINITE"];
const BOUND_COLORS = ["#555", "#aaa"];
const COLORS = [
  "#4269d0",
  "#efb118",
  "#6cc5b0",
  "#9c6b4e",
  "#d62728",
  "#3ca951",
  "#a463f2",
  "#ff8ab7",
];

interface Point {
  readonly policy: string;
  readonly capacity: number;
  readonly diskCapacity: number | undefined;
  readonly hitPercent: number;
}

/** Hit rate over the capacity of the first tier, a line for each policy; the bounds are dashed. */
export function hitRatePlot(report: SimulationReport): Plot.PlotOptions {
  const { trace } = report;
  const points: Point[] = report.results.map((row) => ({
    policy: row.policy,
    capacity: row.capacities[0]!,
    diskCapacity: row.capacities[1],
    hitPercent: (100 * row.numHitChunks) / Math.max(1, trace.numChunks),
  }));
  const names = [...new Set(points.map(({ policy }) => policy))];
  const policies = names.filter((name) => !BOUNDS.includes(name));
  const bounds = names.filter((name) => BOUNDS.includes(name));
  const capacities = [...new Set(points.map(({ capacity }) => capacity))].sort((a, b) => a - b);
  const channels = {
    x: "capacity",
    y: "hitPercent",
    stroke: "policy",
    ...(points.some(({ diskCapacity }) => diskCapacity !== undefined) && { fx: "diskCapacity" }),
  };
  const isBound = ({ policy }: Point): boolean => BOUNDS.includes(policy);
  return {
    title: `Hit rate by policy and capacity: ${trace.name}`,
    subtitle: `${trace.numRequests.toLocaleString("en-US")} requests, ${trace.numChunks.toLocaleString("en-US")} chunks of ${report.blockTokens} tokens; a hit ends at the first missing chunk`,
    x: { type: "log", label: "capacity in chunks", ticks: capacities, tickFormat: ",d" },
    y: { label: "chunks served from the cache, %", zero: true },
    fx: { label: "disk capacity in chunks", tickFormat: ",d" },
    color: {
      legend: true,
      domain: [...policies, ...bounds],
      range: [
        ...policies.map((_, index) => COLORS[index % COLORS.length]!),
        ...bounds.map((name) => BOUND_COLORS[BOUNDS.indexOf(name)]!),
      ],
    },
    marks: [
      Plot.ruleY([0]),
      Plot.lineY(points.filter(isBound), { ...channels, strokeDasharray: "5 4" }),
      Plot.lineY(
        points.filter((point) => !isBound(point)),
        { ...channels, strokeWidth: 2, marker: "dot" },
      ),
    ],
  };
}
