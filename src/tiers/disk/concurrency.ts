/** Runs `job` for each item, at most `numAtOnce` at a time, begun in order. Stops at the first that rejects. */
export async function forEachConcurrently<T>(
  items: readonly T[],
  numAtOnce: number,
  job: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    // All workers draw from one iterator.
    for (const item of rest) await job(item);
  };
  await Promise.all(Array.from({ length: Math.min(numAtOnce, items.length) }, worker));
}
