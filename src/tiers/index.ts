export * from "./chunk-file.ts";
export { CpuTier } from "./cpu.ts";
export type { CpuTierOptions } from "./cpu.ts";
export * from "./disk/index.ts";
export { emptyLease } from "./empty-lease.ts";
export { NullTier, noStats } from "./null.ts";
export * from "./policies/index.ts";
export * from "./remote/index.ts";
export type * from "./tier.ts";
