import type { Context } from "hono";
import { UsageError } from "../core/index.ts";

/** @throws UsageError for a parameter that would be ignored: "?teir=..." must not clear all tiers */
export function knownParameters(context: Context, names: readonly string[]): void {
  for (const name of Object.keys(context.req.query())) {
    if (names.includes(name)) continue;
    const wanted = names.length === 0 ? "none is known here" : `wanted ${names.join(" or ")}`;
    throw new UsageError(`Unknown parameter '${name}' in the address: ${wanted}`, { param: name });
  }
}

/** True for "?wait" and "?wait=true". */
export function readFlag(context: Context, name: string): boolean {
  const value = context.req.query(name);
  if (value === undefined || value === "false" || value === "0") return false;
  if (value === "" || value === "true" || value === "1") return true;
  throw new UsageError(`Invalid '${name}': expected true or false, got ${JSON.stringify(value)}`, {
    param: name,
  });
}

/** @returns the tiers that "?tier=..." names, all if it names none */
export function readTiers(context: Context, known: readonly string[]): readonly string[] {
  const names = context.req.queries("tier");
  if (names === undefined) return known;
  for (const name of names) checkTier(name, "tier", known);
  return [...new Set(names)];
}

/** @throws UsageError when there is no tier of this name */
export function checkTier(name: string, param: string, known: readonly string[]): void {
  if (known.includes(name)) return;
  throw new UsageError(
    `Invalid '${param}': expected one of ${known.join(", ")}, got ${JSON.stringify(name)}`,
    { param },
  );
}
