import { describe, expect, it } from "vitest";
import { createLogger, readLogLevel } from "../../../src/observability/index.ts";
import type { LoggerOptions } from "../../../src/observability/index.ts";

const wallMs = new Date(2026, 10, 21, 8, 5, 9, 7).getTime();
const clock = { nowMs: () => 0, wallMs: () => wallMs };

function logged(options: Pick<LoggerOptions, "level" | "format">): string {
  let text = "";
  const destination = { write: (line: string) => void (text += line) };
  const logger = createLogger({ ...options, destination, clock });
  logger.debug("a");
  logger.info("b");
  logger.warn("c");
  logger.error("d");
  return text;
}

describe("readLogLevel()", () => {
  it.each([
    [undefined, "info"],
    ["", "info"],
    ["DEBUG", "debug"],
    ["Warning", "warn"],
    ["CRITICAL", "error"],
  ])("reads LMCACHE_LOG_LEVEL %s as %s", (value, level) => {
    expect(readLogLevel({ LMCACHE_LOG_LEVEL: value })).toBe(level);
  });

  it.each(["loud", "constructor", "10"])("refuses %s", (value) => {
    expect(() => readLogLevel({ LMCACHE_LOG_LEVEL: value })).toThrow(
      `LMCACHE_LOG_LEVEL "${value}"`,
    );
  });
});

describe("createLogger()", () => {
  it("writes LMCache's lines as text", () => {
    expect(logged({ level: "debug", format: "text" })).toBe(
      "[2026-11-21 08:05:09,007] LMCache DEBUG: a\n" +
        "[2026-11-21 08:05:09,007] LMCache INFO: b\n" +
        "[2026-11-21 08:05:09,007] LMCache WARNING: c\n" +
        "[2026-11-21 08:05:09,007] LMCache ERROR: d\n",
    );
  });

  it("writes one object a line as JSON", () => {
    const lines = logged({ level: "warn", format: "json" }).trimEnd().split("\n");
    const time = new Date(wallMs).toISOString();
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { level: "warn", time, message: "c" },
      { level: "error", time, message: "d" },
    ]);
  });

  it.each(["text", "json"] as const)("leaves out what is below the level (%s)", (format) => {
    const numLines = (level: LoggerOptions["level"]): number =>
      logged({ level, format }).trimEnd().split("\n").length;
    expect([numLines("debug"), numLines("info"), numLines("warn"), numLines("error")]).toEqual([
      4, 3, 2, 1,
    ]);
  });
});
