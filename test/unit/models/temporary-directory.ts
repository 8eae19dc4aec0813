import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";

/** A fresh directory for each test of the file, removed behind it. */
export function useTemporaryDirectory(): { readonly path: string } {
  const directory = { path: "" };
  beforeEach(async () => {
    directory.path = await mkdtemp(join(tmpdir(), "warmkv-models-"));
  });
  afterEach(() => rm(directory.path, { recursive: true }));
  return directory;
}
