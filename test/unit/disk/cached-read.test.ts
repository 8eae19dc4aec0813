import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { MappedMemory } from "../../../src/memory/index.ts";
import { CachedRead } from "../../../src/tiers/disk/cached-read.ts";

const cachedRead = CachedRead.open();

test("is there on Linux and nowhere else", () => {
  expect(cachedRead !== undefined).toBe(process.platform === "linux");
});

test("a file that was just written comes out of the kernel's memory; what is missing or short does not", async () => {
  const directory = await mkdtemp(join(tmpdir(), "warmkv-cached-"));
  const memory = new MappedMemory(8192);
  try {
    const path = join(directory, "chunk");
    await writeFile(path, Buffer.alloc(8000, "kv"));
    // No page cache can be relied on: what counts is that the bytes are right whenever it says yes.
    if (cachedRead?.read(path, memory.address, 8000)) {
      expect(Buffer.from(memory.view(0, 8000)).equals(Buffer.alloc(8000, "kv"))).toBe(true);
    }
    expect(cachedRead?.read(path, memory.address, 8192) ?? false).toBe(false);
    expect(cachedRead?.read(join(directory, "none"), memory.address, 8) ?? false).toBe(false);
    expect(cachedRead?.read(directory, memory.address, 8) ?? false).toBe(false);
  } finally {
    memory[Symbol.dispose]();
    await rm(directory, { recursive: true });
  }
});
