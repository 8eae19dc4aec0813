export { type GeneratorOptions, generateTrace } from "./generator.ts";
export { hitRatePlot } from "./hit-rate-plot.ts";
export { reportJson, reportTable, type SimulationReport, type SimulationRow } from "./report.ts";
export { runSimulation, type SimulationSettings } from "./run-simulation.ts";
export { simulationPolicyName, simulationPolicyNames } from "./simulation-policy.ts";
export { readTrace, type TraceRequest } from "./trace.ts";
