import { Option } from "commander";
import { wholeNumber } from "./flags.ts";

// What all commands that serve have in common.

/** Without a default. */
export function logLevelOption(description = "least that is logged"): Option {
  return new Option("--log-level <level>", description).choices(["debug", "info", "warn", "error"]);
}

export function logFormatOption(): Option {
  return new Option("--log-format <format>", "LMCache's lines, or one JSON object a line")
    .choices(["text", "json"])
    .default("text");
}

export function maxConnectionsOption(): Option {
  return new Option("--max-connections <n>", "most clients at the same time")
    .argParser(wholeNumber("--max-connections", 1, 65_536))
    .default(1024);
}
