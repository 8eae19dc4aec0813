export { HeapMemory } from "./heap-memory.ts";
export { KvBuffer } from "./kv-buffer.ts";
export { MappedMemory } from "./mapped-memory.ts";
export type { PoolMemory } from "./pool-memory.ts";
export { MemoryPool, PAGE_BYTES } from "./pool.ts";
export type { Reclaimer } from "./pool.ts";
