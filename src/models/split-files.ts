import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { UsageError, messageOf } from "../core/index.ts";

const SPLIT_NAME = /^(?<stem>.*)-(?<number>\d{5})-of-(?<total>\d{5})\.gguf$/s;
/** Parts or files to name in a message. */
const MAX_NAMED = 3;

/**
 * The files of a model, checked to be there: the parts in order when `path` is any one of a split
 * model ("name-00001-of-00003.gguf"), else the file itself.
 *
 * @throws UsageError for a directory or a missing file
 */
export async function modelParts(path: string): Promise<string[]> {
  const parts = splitName(path)?.parts ?? [path];
  const missing: string[] = [];
  for (const part of parts) {
    if (!(await isFile(part))) missing.push(part);
    if (missing.length === MAX_NAMED) break;
  }
  if (missing.length === 0) return parts;
  throw new UsageError(
    parts.length === 1
      ? `Cannot find the model file "${path}"`
      : `Cannot find all ${parts.length} parts of the model "${path}": ${quoted(missing)} is missing`,
  );
}

export interface SplitName {
  /** From 1. */
  readonly number: number;
  /** Names of all parts, in order. */
  readonly parts: string[];
}

/** @returns undefined for a name that is not one of several parts */
export function splitName(path: string): SplitName | undefined {
  const match = SPLIT_NAME.exec(path)?.groups;
  if (match === undefined) return undefined;
  const { stem, number, total } = match as Record<"stem" | "number" | "total", string>;
  if (Number(number) < 1 || Number(number) > Number(total)) return undefined;
  const parts = Array.from(
    { length: Number(total) },
    (_, index) => `${stem}-${String(index + 1).padStart(5, "0")}-of-${total}.gguf`,
  );
  return { number: Number(number), parts };
}

async function isFile(path: string): Promise<boolean> {
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(path)).isDirectory();
  } catch (error) {
    if (isMissing(error)) return false;
    throw new UsageError(`Cannot open the model file "${path}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (!isDirectory) return true;
  const models = (await readdir(path)).filter((name) => name.endsWith(".gguf")).toSorted();
  const inside = models.slice(0, MAX_NAMED).map((name) => join(path, name));
  throw new UsageError(
    models.length === 0
      ? `Cannot load the directory "${path}" as a model: wanted a .gguf file, and there is none in it`
      : `Cannot load the directory "${path}" as a model: wanted a .gguf file, such as ${quoted(inside)}`,
  );
}

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "");
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}
