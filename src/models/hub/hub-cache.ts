import { link, mkdir, readFile, readdir, rename, stat, symlink, writeFile } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { dirname, join, relative } from "node:path";
import type { HubFile } from "./hub-file.ts";

const COMMIT = /^[0-9a-f]{40}$/;

/**
 * One repository in the cache on disk, laid out as huggingface_hub does:
 *
 *     models--owner--repo/blobs/<hash>                the bytes, once
 *                        /refs/<revision>             a commit
 *                        /snapshots/<commit>/<path>   a link to the blob
 */
export class HubCache {
  readonly #directory: string;

  constructor(cacheDir: string, repository: string) {
    this.#directory = join(cacheDir, `models--${repository.replaceAll("/", "--")}`);
  }

  async prepare(): Promise<void> {
    await mkdir(join(this.#directory, "blobs"), { recursive: true });
  }

  blobPath(file: HubFile): string {
    return join(this.#directory, "blobs", file.contentHash);
  }

  async hasBlob(file: HubFile): Promise<boolean> {
    return (await sizeOf(this.blobPath(file))) === file.fileBytes;
  }

  snapshotPath(commit: string, path: string): string {
    return join(this.#directory, "snapshots", commit, path);
  }

  /** The commit that a branch or tag stood at when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (COMMIT.test(revision)) return revision;
    try {
      const commit = (await readFile(this.#refPath(revision), "utf8")).trim();
      return COMMIT.test(commit) ? commit : undefined;
    } catch {
      return undefined;
    }
  }

  /** The files of a commit that are here and whole. */
  async filesAt(commit: string): Promise<string[]> {
    const folder = join(this.#directory, "snapshots", commit);
    const paths: string[] = [];
    const entries = await readdir(folder, { recursive: true }).catch(() => []);
    for (const entry of entries) {
      if ((await sizeOf(join(folder, entry))) !== undefined) {
        paths.push(entry.replaceAll("\\", "/"));
      }
    }
    return paths;
  }

  /** Makes a blob that is here appear in a commit. */
  async link(commit: string, file: HubFile): Promise<void> {
    const path = this.snapshotPath(commit, file.path);
    const blobPath = this.blobPath(file);
    if ((await sizeOf(path)) === file.fileBytes) return;
    await mkdir(dirname(path), { recursive: true });
    // Beside it and renamed: others may make the same link now, or one may be there that leads nowhere.
    const temporaryPath = `${path}.${randomUUID()}.tmp`;
    try {
      await symlink(relative(dirname(path), blobPath), temporaryPath);
    } catch (error) {
      // Windows lets only some users make symbolic links.
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
      await link(blobPath, temporaryPath);
    }
    await rename(temporaryPath, path);
  }

  async setCommit(revision: string, commit: string): Promise<void> {
    if (COMMIT.test(revision)) return;
    const path = this.#refPath(revision);
    await mkdir(dirname(path), { recursive: true });
    const temporaryPath = `${path}.${randomUUID()}.tmp`;
    await writeFile(temporaryPath, commit);
    await rename(temporaryPath, path);
  }

  #refPath(revision: string): string {
    return join(this.#directory, "refs", revision);
  }
}

/** Of a file, or of what a link leads to; undefined for everything else. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() ? stats.size : undefined;
  } catch {
    return undefined;
  }
}
