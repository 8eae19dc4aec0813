export { CacheConnector } from "./cache-connector.ts";
export type { CacheConnectorOptions, KvRole } from "./cache-connector.ts";
export type * from "./connector.ts";
export { createConnector } from "./create-connector.ts";
export type { ConnectedCache, CreateConnectorOptions } from "./create-connector.ts";
export { NullConnector } from "./null-connector.ts";
export { scopeOf } from "./request-settings.ts";
