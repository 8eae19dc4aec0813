import { z } from "zod";

export type JsonObject = Readonly<Record<string, unknown>>;

/** Free JSON that later code walks: not nested deeper than a call stack can follow. */
function objectOfDepth(maxDepth: number): z.ZodType<JsonObject> {
  return z
    .record(z.string(), z.unknown())
    .refine((value) => isShallow(value, maxDepth), `expected at most ${maxDepth} levels`);
}

export const jsonObject: z.ZodType<JsonObject> = objectOfDepth(16);
/** JSON schemas take two or three levels for each level of what they describe. */
export const deepJsonObject: z.ZodType<JsonObject> = objectOfDepth(128);

function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((item) => isShallow(item, levels - 1));
}
