/** Columns side by side, the first to the left and numbers to the right, as `ls -l` has them. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join("  ")
      .trimEnd();
  return [head, ...rows].map(line).join("\n");
}

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
