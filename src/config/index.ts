export * from "./cache-config.ts";
export { describeConfig } from "./describe.ts";
export * from "./load-cache-config.ts";
