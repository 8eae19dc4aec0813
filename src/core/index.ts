export * from "./chunk-key.ts";
export * from "./clock.ts";
export * from "./errors.ts";
export * from "./events.ts";
export * from "./float16.ts";
export * from "./logger.ts";
export * from "./sizes.ts";
export * from "./terminal-line.ts";
