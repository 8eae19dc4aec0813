const UNITS = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
] as const;

/** 200000 -> "3m": the largest unit says enough. */
export function formatAge(ageMs: number): string {
  const [unit, unitMs] = UNITS.find(([, candidate]) => ageMs >= candidate) ?? UNITS.at(-1)!;
  return `${Math.max(0, Math.floor(ageMs / unitMs))}${unit}`;
}

/** 1, "chunk" -> "1 chunk". */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
