import * as Plot from "@observablehq/plot";
import { formatBytes } from "../core/index.ts";
import type { RemoteReport } from "./remote-report.ts";

const REMOTE = "#d6604d";
const FLOOR = "#777";

const ROW_HEIGHT = 44;
const DOT_RADIUS = 6;

/** A row for each operation, size and concurrency: the speed of the remote beside that of plain TCP. */
export function remotePlot(report: RemoteReport): Plot.PlotOptions {
  const rows = report.transfers.map((transfer) => ({
    name: `${transfer.operation} ${formatBytes(transfer.valueBytes)}, ${transfer.concurrency} at once`,
    remote: transfer.remote.gibPerSecond.median,
    floor: transfer.floor.gibPerSecond.median,
    share: transfer.shareOfFloor,
  }));
  const lowest = Math.min(...rows.map(({ share }) => share));
  const highest = Math.max(...rows.flatMap(({ remote, floor }) => [remote, floor]));
  return {
    title: `${report.address} moves values at ${Math.round(lowest * 100)} % of plain TCP's speed at least`,
    subtitle: `GiB per second, median of ${report.numRounds} rounds`,
    caption: "Dot: the remote. Line: the same bytes over TCP of the loopback to another process.",
    height: rows.length * ROW_HEIGHT + 40,
    marginLeft: 170,
    marginRight: 150,
    marginTop: 8,
    marginBottom: 30,
    grid: false,
    x: { domain: [0, highest * 1.05], label: null },
    y: { domain: rows.map(({ name }) => name), label: null, tickSize: 0 },
    marks: [
      Plot.gridX(),
      Plot.tickX(rows, { x: "floor", y: "name", stroke: FLOOR, strokeWidth: 3, inset: 6 }),
      Plot.dot(rows, { x: "remote", y: "name", r: DOT_RADIUS, fill: REMOTE }),
      Plot.text(rows, {
        y: "name",
        frameAnchor: "right",
        textAnchor: "start",
        dx: 12,
        text: ({ remote, share }: (typeof rows)[number]) =>
          `${remote.toFixed(2)} GiB/s, ${Math.round(share * 100)} %`,
        fill: REMOTE,
        fontWeight: "bold",
      }),
    ],
  };
}
