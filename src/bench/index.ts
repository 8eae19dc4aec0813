export {
  type CacheOverheadReport,
  MAX_OVERHEAD_PERCENT,
  runCacheOverhead,
} from "./cache-overhead.ts";
export { cacheOverheadTable } from "./cache-overhead-table.ts";
export { demoEnvironment, demoExplanation, demoIntroduction } from "./demo.ts";
export { Progress } from "./progress.ts";
export { queryTwicePlot } from "./query-twice-plot.ts";
export { queryTwiceFailures, type QueryTwiceReport } from "./query-twice-report.ts";
export { queryTwiceTable } from "./query-twice-table.ts";
export { type BenchSettings, runQueryTwice } from "./run-query-twice.ts";
export { writeReport } from "./write-report.ts";
export { runTiers } from "./run-tiers.ts";
export { tiersPlot } from "./tiers-plot.ts";
export { tiersTable } from "./tiers-report.ts";
export { remotePlot } from "./remote-plot.ts";
export { remoteTable } from "./remote-report.ts";
export { runRemote } from "./run-remote.ts";
export { runThroughput } from "./run-throughput.ts";
export { throughputPlot } from "./throughput-plot.ts";
export { throughputFailures } from "./throughput-report.ts";
export { throughputTable } from "./throughput-table.ts";
