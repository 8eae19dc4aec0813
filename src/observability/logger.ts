import { pino } from "pino";
import { UsageError, systemClock } from "../core/index.ts";
import type { Clock, Logger } from "../core/index.ts";

const LEVELS = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof LEVELS)[number];

/** What Python's logging calls them. */
const PYTHON_LEVELS: ReadonlyMap<string, LogLevel> = new Map(
  Object.entries({
    notset: "debug",
    debug: "debug",
    info: "info",
    warn: "warn",
    warning: "warn",
    error: "error",
    critical: "error",
    fatal: "error",
  } as const),
);

/**
 * The level that LMCache's LMCACHE_LOG_LEVEL asks for; info without it.
 *
 * @throws UsageError for one that is none
 */
export function readLogLevel(env: Readonly<Record<string, string | undefined>>): LogLevel {
  const text = env["LMCACHE_LOG_LEVEL"] ?? "";
  const level = text === "" ? "info" : PYTHON_LEVELS.get(text.toLowerCase());
  if (level !== undefined) return level;
  throw new UsageError(
    `Cannot use LMCACHE_LOG_LEVEL "${text}": wanted one of DEBUG, INFO, WARNING, ERROR, CRITICAL`,
    { param: "LMCACHE_LOG_LEVEL" },
  );
}

export type LogFormat = "text" | "json";

export interface LoggerOptions {
  readonly level: LogLevel;
  /** text: LMCache's lines. json: one object a line, for machines. */
  readonly format: LogFormat;
  /** Takes whole lines. Default: standard output. */
  readonly destination?: LogDestination | undefined;
  readonly clock?: Clock | undefined;
}

interface LogDestination {
  write(line: string): void;
}

/**
 * Lines leave the process at the end of the turn that said them, or with the process: a request does not wait for its log
 * lines, nothing said before an uncaught error is lost, and a reader that is slow slows us down instead of
 * filling our memory.
 */
export function createLogger(options: LoggerOptions): Logger {
  const destination = options.destination ?? standardOutput();
  const clock = options.clock ?? systemClock;
  if (options.format === "text") return new TextLogger(options.level, destination, clock);
  return pino(
    {
      level: options.level,
      base: null,
      messageKey: "message",
      timestamp: () => `,"time":"${new Date(clock.wallMs()).toISOString()}"`,
      formatters: { level: (level) => ({ level }) },
    },
    destination,
  );
}

function standardOutput(): LogDestination {
  const out = pino.destination({ dest: 1, sync: true });
  let lines = "";
  let turn: NodeJS.Immediate | undefined;
  const flush = (): void => {
    turn = undefined;
    if (lines !== "") out.write(lines);
    lines = "";
  };
  process.once("exit", flush);
  return {
    write(line) {
      lines += line;
      turn ??= setImmediate(flush);
    },
  };
}

/** Python's names, as LMCache prints them. */
const LEVEL_NAMES: Record<LogLevel, string> = {
  debug: "DEBUG",
  info: "INFO",
  warn: "WARNING",
  error: "ERROR",
};

/** `[2026-11-21 18:00:00,123] LMCache INFO: message`, in local time. */
class TextLogger implements Logger {
  readonly #minLevel: number;
  readonly #destination: LogDestination;
  readonly #clock: Clock;

  constructor(level: LogLevel, destination: LogDestination, clock: Clock) {
    this.#minLevel = LEVELS.indexOf(level);
    this.#destination = destination;
    this.#clock = clock;
  }

  debug(message: string): void {
    this.#log("debug", message);
  }
  info(message: string): void {
    this.#log("info", message);
  }
  warn(message: string): void {
    this.#log("warn", message);
  }
  error(message: string): void {
    this.#log("error", message);
  }

  #log(level: LogLevel, message: string): void {
    if (LEVELS.indexOf(level) < this.#minLevel) return;
    const time = formatTime(new Date(this.#clock.wallMs()));
    this.#destination.write(`[${time}] LMCache ${LEVEL_NAMES[level]}: ${message}\n`);
  }
}

function formatTime(time: Date): string {
  const pad = (value: number, width = 2): string => String(value).padStart(width, "0");
  const date = `${time.getFullYear()}-${pad(time.getMonth() + 1)}-${pad(time.getDate())}`;
  const clock = `${pad(time.getHours())}:${pad(time.getMinutes())}:${pad(time.getSeconds())}`;
  return `${date} ${clock},${pad(time.getMilliseconds(), 3)}`;
}
