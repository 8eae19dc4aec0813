/** 21304.2 -> "21.3 s", 61.4 -> "61 ms", 4.27 -> "4.3 ms". */
export function formatMs(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
}

/** 8000 -> "8,000". */
export function formatCount(count: number): string {
  return count.toLocaleString("en-US");
}

/** 341.7 -> "342 times sooner", 2.41 -> "2.4 times sooner", 0.98 -> "no sooner". */
export function formatSooner(ratio: number): string {
  if (ratio < 1.05) return "no sooner";
  return `${ratio >= 10 ? formatCount(Math.round(ratio)) : ratio.toFixed(1)} times sooner`;
}
