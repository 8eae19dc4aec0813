export { createApp } from "./app.ts";
export type { AppOptions } from "./app.ts";
export { checkAddress, serve } from "./serve.ts";
export type { RunningServer } from "./serve.ts";
