import type { Lease } from "./tier.ts";

/** Holds nothing. */
export const emptyLease: Lease = {
  keys: [],
  async *load() {},
  [Symbol.dispose]() {},
};
