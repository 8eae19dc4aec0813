import { UsageError } from "../../core/index.ts";
import { AdaptivePolicy } from "./adaptive.ts";
import { FifoPolicy } from "./fifo.ts";
import { LfuPolicy } from "./lfu.ts";
import { LruPolicy } from "./lru.ts";
import { MruPolicy } from "./mru.ts";
import type { EvictionPolicy } from "./policy.ts";

export * from "./adaptive.ts";
export * from "./chunk-tree.ts";
export * from "./fifo.ts";
export * from "./lfu.ts";
export * from "./lru.ts";
export * from "./mru.ts";
export * from "./ordered-policy.ts";
export type * from "./policy.ts";
export * from "./slot-heap.ts";

const POLICIES: Record<string, new () => EvictionPolicy> = {
  LRU: LruPolicy,
  LFU: LfuPolicy,
  FIFO: FifoPolicy,
  MRU: MruPolicy,
  ADAPTIVE: AdaptivePolicy,
};

/** What `cache_policy` may say. */
export const policyNames: readonly string[] = Object.keys(POLICIES);

/** @param name in upper or lower case */
export function createPolicy(name: string): EvictionPolicy {
  const policy = POLICIES[name.toUpperCase()];
  if (policy === undefined) {
    throw new UsageError(
      `Cannot use cache_policy "${name}": wanted one of ${policyNames.join(", ")}`,
      { param: "cache_policy" },
    );
  }
  return new policy();
}
