import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { z } from "zod";
import { splitList, type ValueType } from "./value-type.ts";

const WANTED =
  'wanted a directory such as "/var/cache/kv" or "file:///var/cache/kv/", or several with commas';

/**
 * The forms of `local_disk`: a path, or `file://` followed by a path that may be relative, alone or in
 * a list, each item in its own form. `false` means none.
 */
export const localDisk: ValueType<readonly string[]> = {
  name: "paths",
  schema: z
    .unknown()
    .transform((raw) => (isFalse(raw) ? [] : splitList(raw)))
    .pipe(z.array(z.string({ error: WANTED }).transform(stripScheme).refine(isDirectory, WANTED))),
  show: (paths) => paths.join(","),
};

/** "~/" is the home directory, for neither YAML nor quoted shell text expands it. */
export function absolutePath(path: string, cwd: string, home: string = homedir()): string {
  return resolve(cwd, path.startsWith("~/") ? join(home, path.slice(2)) : path);
}

function stripScheme(path: string): string {
  return path.replace(/^file:(\/\/)?/i, "").trim();
}

function isDirectory(path: string): boolean {
  // "True" would be taken for a directory of that name.
  return /^\P{Cc}+$/u.test(path) && !/^([a-z][a-z0-9+.-]*:\/\/|true$)/i.test(path);
}

function isFalse(raw: unknown): boolean {
  return raw === false || (typeof raw === "string" && raw.trim().toLowerCase() === "false");
}
