import * as Plot from "@observablehq/plot";
import { formatBytes } from "../core/index.ts";
import { gibPerSecond, type TiersReport } from "./tiers-report.ts";

const OURS = "#d6604d";
const PLAIN = "#777";

const ROW_HEIGHT = 56;
const DOT_RADIUS = 7;
/** Room on both sides of the outermost points, as a factor. */
const MARGIN = 1.4;
const TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200];

/** A row for each tier and operation: its speed beside the speed of the plain way, and the share. */
export function tiersPlot(report: TiersReport): Plot.PlotOptions {
  const totalBytes = report.chunkBytes * report.numChunks;
  const rows = report.contests.map((contest) => ({
    name: `${contest.tier} ${contest.operation}`,
    ours: gibPerSecond(totalBytes, contest.oursMs),
    plain: gibPerSecond(totalBytes, contest.plainMs),
    share: contest.shareOfPlain,
    against: contest.against,
  }));
  const lowest = Math.min(...report.contests.map(({ shareOfPlain }) => shareOfPlain));
  const speeds = rows.flatMap(({ ours, plain }) => [ours, plain]);
  const domain = [Math.min(...speeds) / MARGIN, Math.max(...speeds) * MARGIN] as const;
  const ticks = TICKS.filter((tick) => tick >= domain[0] && tick <= domain[1]);
  return {
    title: `No tier is slower than ${Math.round(lowest * 100)} % of the plain way to move the same bytes`,
    subtitle: `${report.numChunks} chunks of ${formatBytes(report.chunkBytes)}, ${report.concurrency} files at a time: GiB per second, log scale`,
    caption:
      "Dot: the tier. Line: the plain way in the same run, memcpy for CPU RAM, reads and writes of files for the disk.",
    height: rows.length * ROW_HEIGHT + 40,
    marginLeft: 150,
    marginRight: 150,
    marginTop: 8,
    marginBottom: 30,
    grid: false,
    x: { type: "log", domain, label: null },
    y: { domain: rows.map(({ name }) => name), label: null, tickSize: 0 },
    marks: [
      Plot.gridX({ ticks }),
      Plot.axisX(ticks, { text: String }),
      Plot.tickX(rows, { x: "plain", y: "name", stroke: PLAIN, strokeWidth: 3, inset: 6 }),
      Plot.dot(rows, { x: "ours", y: "name", r: DOT_RADIUS, fill: OURS }),
      Plot.text(rows, {
        y: "name",
        frameAnchor: "right",
        textAnchor: "start",
        dx: 12,
        text: ({ ours, share }: (typeof rows)[number]) =>
          `${ours.toFixed(2)} GiB/s, ${Math.round(share * 100)} %`,
        fill: OURS,
        fontWeight: "bold",
      }),
    ],
  };
}
