import * as Plot from "@observablehq/plot";
import { formatCount } from "./format.ts";
import { clientsOf, type ServerThroughput, type ThroughputReport } from "./throughput-report.ts";
import { formatRate } from "./throughput-table.ts";

const OURS = "#d6604d";
const PEER = "#777";

const BAR_HEIGHT = 26;
const GROUP_MARGIN = 30;

interface Bar {
  readonly measure: string;
  readonly server: string;
  readonly rate: number | undefined;
  /** Of the fastest server's. */
  readonly share: number;
}

/** A group of bars for each number of clients and one for prefill, each as long as the fastest server's at most. */
export function throughputPlot(report: ThroughputReport): Plot.PlotOptions {
  const { servers, numRounds } = report;
  const bars = [
    ...servers[0]!.decodes.flatMap(({ numClients }, index) =>
      group(
        `decode, ${clientsOf(numClients)}`,
        servers,
        ({ decodes }) => decodes[index]!.decodeTokensPerSecond?.median,
      ),
    ),
    ...group(
      `prefill of ${formatCount(report.numPrefillTokens)}`,
      servers,
      ({ prefill }) => prefill.tokensPerSecond.median,
    ),
  ];
  const numGroups = bars.length / servers.length;
  return {
    title: title(report),
    subtitle: `${servers[0]!.model}, median of ${numRounds} ${numRounds === 1 ? "round" : "rounds"}`,
    caption:
      "Decode: all clients together, while all of them have their first token and none its last.",
    height: numGroups * (servers.length * BAR_HEIGHT + GROUP_MARGIN) + 22,
    marginLeft: 150,
    marginRight: 130,
    marginTop: 22,
    marginBottom: 4,
    grid: false,
    x: { domain: [0, 1], axis: null },
    y: { domain: servers.map(({ name }) => name), label: null, tickSize: 0 },
    fy: { domain: bars.map(({ measure }) => measure), axis: null, padding: 0.3 },
    marks: [
      Plot.text(bars, {
        fy: "measure",
        text: "measure",
        frameAnchor: "top-left",
        dy: -14,
        fontWeight: "bold",
      }),
      Plot.barX(bars, {
        x: "share",
        y: "server",
        fy: "measure",
        fill: ({ server }: Bar) => (server === servers[0]!.name ? OURS : PEER),
        inset: 2,
      }),
      Plot.text(bars, {
        x: "share",
        y: "server",
        fy: "measure",
        text: ({ rate }: Bar) =>
          rate === undefined ? "not measured" : `${formatRate(rate)} tokens/s`,
        textAnchor: "start",
        dx: 6,
      }),
    ],
  };
}

function group(
  measure: string,
  servers: readonly ServerThroughput[],
  rateOf: (server: ServerThroughput) => number | undefined,
): Bar[] {
  const fastest = Math.max(...servers.map((server) => rateOf(server) ?? 0));
  return servers.map((server) => {
    const rate = rateOf(server);
    return { measure, server: server.name, rate, share: rate === undefined ? 0 : rate / fastest };
  });
}

function title({ servers, ratios }: ThroughputReport): string {
  const name = servers[0]!.name;
  if (ratios.length === 0) return `Tokens per second of ${name}`;
  const all = ratios.flatMap(({ decodes, prefill }) => [
    prefill,
    ...decodes.flatMap(({ decode }) => decode ?? []),
  ]);
  const lowest = Math.round(Math.min(...all) * 100);
  return `${name} gives at least ${lowest} % of its ${ratios.length === 1 ? "peer's" : "peers'"} tokens per second`;
}
