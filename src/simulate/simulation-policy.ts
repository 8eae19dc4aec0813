import { UsageError } from "../core/index.ts";
import { createPolicy, type EvictionPolicy, policyNames } from "../tiers/policies/index.ts";
import { ArcPolicy } from "./comparison/arc.ts";
import { S3FifoPolicy } from "./comparison/s3-fifo.ts";
import { TinyLfuPolicy } from "./comparison/tiny-lfu.ts";

/** Known from the literature, to compare with; they have to know the capacity. */
const COMPARISONS: Record<string, new (capacity: number) => EvictionPolicy> = {
  "S3-FIFO": S3FifoPolicy,
  ARC: ArcPolicy,
  TINYLFU: TinyLfuPolicy,
};

/** What can be simulated: what tiers can use, and what it is compared with. */
export const simulationPolicyNames: readonly string[] = [
  ...policyNames,
  ...Object.keys(COMPARISONS),
];

/**
 * @param name in upper or lower case
 * @returns the name as in `simulationPolicyNames`
 * @throws UsageError
 */
export function simulationPolicyName(name: string): string {
  const known = name.trim().toUpperCase();
  if (simulationPolicyNames.includes(known)) return known;
  throw new UsageError(
    `Cannot simulate the policy "${name}": wanted one of ${simulationPolicyNames.join(", ")}`,
    { param: "--policy" },
  );
}

/** @param name as in `simulationPolicyNames` */
export function createSimulationPolicy(name: string, capacity: number): EvictionPolicy {
  const comparison = COMPARISONS[name];
  return comparison ? new comparison(capacity) : createPolicy(name);
}
