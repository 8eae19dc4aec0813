/**
 * Rows of cells as lines, in columns as wide as their widest cell. The first column stands to the left; the others to
 * the right, as `ls -l` has its numbers, or to the left as well.
 */
export function tableLines(
  rows: readonly (readonly string[])[],
  { others = "right" }: { readonly others?: "left" | "right" } = {},
): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length)),
  );
  const pad = (cell: string, column: number): string =>
    column === 0 || others === "left"
      ? cell.padEnd(widths[column]!)
      : cell.padStart(widths[column]!);
  return rows.map((row) => row.map(pad).join("  ").trimEnd());
}
