import { UsageError } from "./errors.ts";

export const KiB = 1024;
export const MiB: number = 1024 * KiB;
export const GiB: number = 1024 * MiB;

const UNIT_BYTES: Record<string, number> = {
  "": GiB,
  b: 1,
  k: KiB,
  kb: KiB,
  ki: KiB,
  kib: KiB,
  m: MiB,
  mb: MiB,
  mi: MiB,
  mib: MiB,
  g: GiB,
  gb: GiB,
  gi: GiB,
  gib: GiB,
  t: 1024 * GiB,
  tb: 1024 * GiB,
  ti: 1024 * GiB,
  tib: 1024 * GiB,
};

/**
 * Reads a size as LMCache's documents write it: a plain number is GB and one GB is 1024^3 bytes;
 * a unit may follow ("20Gi", "512 MiB").
 *
 * @returns whole bytes
 * @throws UsageError that names `key`, the value and what was wanted
 */
export function parseSizeBytes(value: string | number, key: string): number {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*([a-z]*)\s*$/i.exec(String(value));
  const unitBytes = match ? UNIT_BYTES[match[2]!.toLowerCase()] : undefined;
  if (!match || unitBytes === undefined) {
    throw new UsageError(
      `Cannot read ${key} "${value}" as a size: wanted a number of GB or a number with a unit, such as 5, 0.5 or "20Gi"`,
      { param: key },
    );
  }
  return Math.floor(Number(match[1]) * unitBytes);
}

/** 1536 -> "1.50 KiB". */
export function formatBytes(numBytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = numBytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(2)} ${units[unit]}`;
}

/** Rounds up to a multiple of `unit`. */
export function alignUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
