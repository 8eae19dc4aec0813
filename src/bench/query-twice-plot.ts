import * as Plot from "@observablehq/plot";
import { formatBytes } from "../core/index.ts";
import { type FloorMove, floorMove } from "./floor.ts";
import { formatCount, formatMs, formatSooner } from "./format.ts";
import type { QueryTwiceReport } from "./query-twice-report.ts";
import type { Summary } from "./statistics.ts";

const COLD = "#2166ac";
const WARM = "#d6604d";
const FLOOR = "#444";

const HEIGHT = 220;
const DOT_RADIUS = 9;
/** Room on both sides of the outermost points, as a factor. */
const MARGIN = 2.2;

/**
 * Cold and warm time to first token as two points on one logarithmic axis, so that the ratio is the
 * distance between them; the floor is a dashed line.
 */
export function queryTwicePlot(report: QueryTwiceReport): Plot.PlotOptions {
  const { coldTtftMs, warmTtftMs, floor, rounds } = report;
  const numTokens = formatCount(rounds[0]!.numPromptTokens);
  const warmName = report.numHitTokens === 0 ? "again: nothing reused" : "warm: from the cache";
  const warm = { name: warmName, ttftMs: warmTtftMs, color: WARM };
  const cold = { name: "cold: computed", ttftMs: coldTtftMs, color: COLD };
  const lowestMs = Math.min(warmTtftMs.min, coldTtftMs.min, floor?.totalMs ?? Infinity);
  const domain: Domain = [lowestMs / MARGIN, Math.max(coldTtftMs.max, warmTtftMs.max) * MARGIN];
  const ticks = axisTicks(domain);

  return {
    title: `Asked again, the first token comes ${formatSooner(report.coldOverWarm)}`,
    subtitle: `${report.server.model}, one prompt of ${numTokens} tokens sent twice: time to first token, log scale`,
    caption: caption(report),
    height: HEIGHT,
    marginLeft: 24,
    marginRight: 24,
    marginTop: 8,
    marginBottom: 30,
    grid: false,
    x: { type: "log", domain, label: null },
    y: { axis: null, domain: [-1, 1] },
    marks: [
      Plot.gridX({ ticks }),
      // As text: a format would be thinned out on a log scale.
      Plot.axisX(ticks, { text: formatTick }),
      ...(floor ? floorMarks(floor.totalMs) : []),
      Plot.link([0], {
        x1: warmTtftMs.median,
        x2: coldTtftMs.median,
        y1: 0,
        y2: 0,
        stroke: "#bbb",
        strokeWidth: 3,
      }),
      ...pointMarks(warm, "start"),
      ...pointMarks(cold, "end"),
    ],
  };
}

type Domain = readonly [number, number];

interface Point {
  readonly name: string;
  readonly ttftMs: Summary;
  readonly color: string;
}

/** @param anchor which end of its labels a point has: the outer one, so that they do not meet */
function pointMarks(point: Point, anchor: "start" | "end"): Plot.Markish[] {
  const { median, min, max } = point.ttftMs;
  const label: Plot.TextOptions = {
    x: median,
    y: 0,
    textAnchor: anchor,
    dx: anchor === "start" ? -DOT_RADIUS : DOT_RADIUS,
    fill: point.color,
    stroke: "white",
    strokeWidth: 6,
  };
  return [
    Plot.text([formatMs(median)], { ...label, dy: -32, fontSize: 26, fontWeight: "bold" }),
    Plot.text([point.name], { ...label, dy: 26, fontSize: 15 }),
    Plot.link([0], {
      x1: min,
      x2: max,
      y1: 0,
      y2: 0,
      stroke: point.color,
      strokeOpacity: 0.35,
      strokeWidth: 2 * DOT_RADIUS,
      strokeLinecap: "round",
    }),
    Plot.dot([0], { x: median, y: 0, r: DOT_RADIUS, fill: point.color }),
  ];
}

function floorMarks(totalMs: number): Plot.Markish[] {
  return [
    Plot.ruleX([totalMs], { stroke: FLOOR, strokeDasharray: "4,3" }),
    Plot.text([`floor ${formatMs(totalMs)}`], {
      x: totalMs,
      frameAnchor: "bottom",
      textAnchor: "end",
      dx: -7,
      dy: -8,
      fill: FLOOR,
      stroke: "white",
      strokeWidth: 5,
    }),
  ];
}

const MOVES: Readonly<Record<FloorMove, string>> = {
  copy: "copy",
  read: "plain read",
  transfer: "transfer over plain TCP",
};

function caption({ floor, rounds }: QueryTwiceReport): string {
  const sentences: string[] = [];
  if (floor) {
    sentences.push(
      `Floor: one ${MOVES[floorMove(floor)]} of the prompt's ${formatBytes(floor.kvBytes)} of KV (${formatMs(floor.totalMs - floor.decodeMs)}) and one decode step (${formatMs(floor.decodeMs)}).`,
    );
  }
  if (rounds.length > 1) {
    sentences.push(`Medians of ${rounds.length} rounds; shaded: fastest to slowest.`);
  }
  return sentences.join(" ");
}

function formatTick(ms: number): string {
  return ms < 1000 ? `${ms} ms` : `${ms / 1000} s`;
}

/** Decades, with their thirds where there are few of them. */
function axisTicks([low, high]: Domain): number[] {
  const ticks: number[] = [];
  for (let decade = 10 ** Math.floor(Math.log10(low)); decade <= high; decade *= 10) {
    ticks.push(decade, 3 * decade);
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}
