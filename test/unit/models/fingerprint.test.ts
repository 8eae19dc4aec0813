import { copyFile, mkdir, open, readFile, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { fingerprintWeights } from "../../../src/models/fingerprint.ts";
import { readGguf } from "../../../src/models/gguf-reader.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";
import { string, writeTinyModel } from "./tiny-model.ts";

const directory = useTemporaryDirectory();
const pathOf = (name: string): string => join(directory.path, name);
const MEBIBYTE = 1 << 20;

describe("fingerprintWeights()", () => {
  it("is the same for a copy under another name, in another place, of another date", async () => {
    await writeTinyModel(pathOf("a.gguf"));
    await mkdir(pathOf("elsewhere"));
    await copyFile(pathOf("a.gguf"), pathOf("elsewhere/b.gguf"));
    await utimes(pathOf("elsewhere/b.gguf"), 1, 1);
    const fingerprint = await fingerprintWeights([pathOf("a.gguf")]);
    expect(fingerprint).toMatch(/^[0-9a-f]{32}$/);
    expect(await fingerprintWeights([pathOf("elsewhere/b.gguf")])).toBe(fingerprint);
  });

  it("differs for every changed byte of a small file that is still GGUF", async () => {
    const path = pathOf("a.gguf");
    await writeTinyModel(path, {
      metadata: [
        ["general.architecture", string("llama")],
        ["general.name", string("tiny")],
      ],
    });
    const bytes = await readFile(path);
    const { headerBytes } = await readGguf(path);
    const fingerprints = new Set([await fingerprintWeights([path])]);
    const nameAt = bytes.indexOf("tiny");
    const changed = [nameAt, nameAt + 3];
    for (let at = headerBytes; at < bytes.byteLength; at++) changed.push(at);
    for (const at of changed) {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 1;
      await writeFile(path, copy);
      fingerprints.add(await fingerprintWeights([path]));
    }
    expect(fingerprints.size).toBe(1 + changed.length);
  });

  it("reads samples of a large file: its length, start and end count", async () => {
    const path = pathOf("large.gguf");
    await writeTinyModel(path);
    const { dataOffset } = await readGguf(path);
    const largeBytes = 64 * MEBIBYTE;
    await truncate(path, largeBytes);
    const fingerprints = new Set([await fingerprintWeights([path])]);
    const change = async (at: number): Promise<void> => {
      const handle = await open(path, "r+");
      await handle.write("x", at);
      await handle.close();
      fingerprints.add(await fingerprintWeights([path]));
    };
    await change(largeBytes - 1);
    await change(dataOffset + 100);
    // 16 MiB of 64 are read: somewhere in any 256 KiB.
    for (let at = 0; at < 256; at += 32) await change(32 * MEBIBYTE + at * 1024);
    expect(fingerprints.size).toBeGreaterThan(3);
    const numBefore = fingerprints.size;
    await truncate(path, largeBytes + 1);
    fingerprints.add(await fingerprintWeights([path]));
    expect(fingerprints.size).toBe(numBefore + 1);
  });

  it("covers all parts, in their order", async () => {
    await writeTinyModel(pathOf("a.gguf"), { metadata: [["general.name", string("a")]] });
    await writeTinyModel(pathOf("b.gguf"), { metadata: [["general.name", string("b")]] });
    const [a, b] = [pathOf("a.gguf"), pathOf("b.gguf")];
    const fingerprints = await Promise.all([[a], [b], [a, b], [b, a]].map(fingerprintWeights));
    expect(new Set(fingerprints).size).toBe(4);
  });

  it("refuses what is not GGUF", async () => {
    await writeFile(pathOf("a.gguf"), "no model");
    await expect(fingerprintWeights([pathOf("a.gguf")])).rejects.toThrow(UsageError);
  });
});
