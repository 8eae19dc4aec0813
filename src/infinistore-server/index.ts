export { InfinistoreServer, type InfinistoreServerOptions } from "./infinistore-server.ts";
export { MemoryValueStorage } from "./memory-value-storage.ts";
export type { ReservedValue, StoredValue, ValueStorage } from "./value-storage.ts";
