export { createLogger, readLogLevel } from "./logger.ts";
export type { LogFormat, LogLevel, LoggerOptions } from "./logger.ts";
export { Metrics } from "./metrics.ts";
export type { TierLevels } from "./tier-levels.ts";
