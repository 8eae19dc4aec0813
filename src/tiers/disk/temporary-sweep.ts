import path from "node:path";
import { forEachConcurrently } from "./concurrency.ts";
import { type FileStatus, type FileSystem, removeIfPossible } from "./file-system.ts";
import type { TemporaryNames } from "./temporary-names.ts";

const NUM_CALLS = 4;

export interface SweepResult {
  /** Of the files that stay, those of this tier's own writes left out. */
  readonly strayBytes: number;
  /** Whether somebody else is writing. */
  readonly isShared: boolean;
}

/** Removes temporary files that nobody writes any more and counts the others. */
export async function sweepTemporaryFiles(
  files: readonly string[],
  names: TemporaryNames,
  fileSystem: FileSystem,
): Promise<SweepResult> {
  let strayBytes = 0;
  let isShared = false;
  await forEachConcurrently(files, NUM_CALLS, async (file) => {
    const name = path.basename(file);
    if (names.isInUse(name)) return;
    const status = await statusOf(file, fileSystem);
    if (status === undefined) return;
    // The times are the file system's, so the injected clock knows nothing of them.
    const isStale = names.isStale(name, Date.now() - status.changedMs);
    if (isStale && (await removeIfPossible(fileSystem, file))) return;
    if (!isStale) isShared = true;
    strayBytes += status.byteLength;
  });
  return { strayBytes, isShared };
}

async function statusOf(file: string, fileSystem: FileSystem): Promise<FileStatus | undefined> {
  try {
    return await fileSystem.status(file);
  } catch {
    // Renamed meanwhile.
    return undefined;
  }
}
