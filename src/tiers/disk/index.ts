export { DiskTier } from "./disk-tier.ts";
export type { DiskTierOptions } from "./disk-tier-parts.ts";
export { chunkFileName, chunkNamePrefix, parseChunkFileName } from "./chunk-path.ts";
export type { ChunkNaming } from "./chunk-path.ts";
export { ChunkFiles, headerFault } from "./chunk-files.ts";
export { errorCodeOf, nodeFileSystem } from "./file-system.ts";
export { ReadAhead } from "./read-ahead.ts";
