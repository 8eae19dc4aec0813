export { CacheServer, openCacheServer } from "./cache-server.ts";
export type { CacheServerOptions } from "./cache-server.ts";
export type { ServerTls } from "./listener.ts";
export type { StorageOptions } from "./open-value-store.ts";
export type { CacheServerStats } from "./server-stats.ts";
export type { Command, CutReason, DropReason } from "./traffic.ts";
