/** What several measurements of one thing come to. Never an average alone: one slow run hides in it. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly count: number;
}

/** @param values at least one */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  return {
    median: medianOfSorted(sorted),
    min: sorted[0]!,
    max: sorted.at(-1)!,
    count: sorted.length,
  };
}

/** @param values at least one */
export function median(values: readonly number[]): number {
  return medianOfSorted(values.toSorted((a, b) => a - b));
}

/**
 * The smallest value that this share of all do not exceed.
 *
 * @param values at least one
 * @param share 0.99 for what people call p99
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  if (sorted.length === 0) throw new RangeError("Cannot take a quantile of nothing");
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

function medianOfSorted(sorted: readonly number[]): number {
  if (sorted.length === 0) throw new RangeError("Cannot take the median of nothing");
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
