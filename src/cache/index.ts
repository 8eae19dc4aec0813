export { CacheEngine } from "./cache-engine.ts";
export type {
  CacheEngineOptions,
  CacheStats,
  ClearOptions,
  LookupOptions,
  ReserveOptions,
  RetrieveOptions,
} from "./cache-engine-options.ts";
export { CacheMatch } from "./cache-match.ts";
export type { LoadedChunk } from "./cache-match.ts";
export type { ChunkDamage } from "./chunk-check.ts";
export type { MoveOptions } from "./mover.ts";
export type { PromptScope } from "./prompt-chunker.ts";
export { createPool } from "./create-pool.ts";
export { createCacheEngine } from "./create-cache-engine.ts";
export type { CreateCacheEngineOptions } from "./create-cache-engine.ts";
export { Reservation } from "./reservation.ts";
export type { ReservedChunk } from "./reservation.ts";
export type { ChunkConsumer } from "./restore-queue.ts";
export { StackLease } from "./stack-lease.ts";
export type { TierStatus } from "./tier-guard.ts";
export { TierStack } from "./tier-stack.ts";
export type { TierStackOptions } from "./tier-stack.ts";
// What a cache is built of, for those who build one by hand.
export { HeapMemory, KvBuffer, MappedMemory, MemoryPool } from "../memory/index.ts";
export type { PoolMemory } from "../memory/index.ts";
export * from "../tiers/index.ts";
