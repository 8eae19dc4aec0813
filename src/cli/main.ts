#!/usr/bin/env node
import { nodeRefusal } from "./node-version.ts";

const refusal = nodeRefusal(process.versions.node);
if (refusal === undefined) {
  // Not above: what it imports does not load in an old Node.
  const { endWhenNobodyReads, runCli } = await import("./program.ts");
  endWhenNobodyReads(process.stdout);
  endWhenNobodyReads(process.stderr);
  const exitCode = await runCli(process.argv.slice(2));
  if (exitCode !== 0) process.exitCode = exitCode;
} else {
  process.stderr.write(`error: ${refusal}\n`);
  process.exitCode = 2;
}
