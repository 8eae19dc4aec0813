import { readFile, readdir, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { readGguf } from "../../../src/models/gguf-reader.ts";
import { writeGguf, type WriteProgress } from "../../../src/models/gguf-writer.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";
import { count, floatTensor, string, writeTinyModel } from "./tiny-model.ts";

const directory = useTemporaryDirectory();
const pathOf = (name: string): string => join(directory.path, name);

describe("writeGguf()", () => {
  it("writes what readGguf() reads, each tensor at its place", async () => {
    const path = pathOf("model.gguf");
    await writeTinyModel(path);
    const file = await readGguf(path);
    const bytes = await readFile(path);
    const floats = file.tensors.map(({ offset, byteLength }) => {
      const start = file.dataOffset + offset;
      return [
        ...new Float32Array(Uint8Array.from(bytes.subarray(start, start + byteLength!)).buffer),
      ];
    });
    expect(floats).toEqual([[1, 2, 3], [4]]);
    expect(file.tensors.map(({ offset }) => offset)).toEqual([0, 32]);
    expect(file.fileBytes).toBe(bytes.byteLength);
    expect(bytes.byteLength % 32).toBe(0);
    expect(file.metadata.get("general.architecture")).toEqual(string("llama"));
  });

  it("honours general.alignment", async () => {
    const path = pathOf("model.gguf");
    await writeTinyModel(path, { metadata: [["general.alignment", count(128)]] });
    const file = await readGguf(path);
    expect(file.dataOffset % 128).toBe(0);
    expect(file.tensors.map(({ offset }) => offset)).toEqual([0, 128]);
    expect(file.fileBytes).toBe(file.dataOffset + 256);
  });

  it("tells how far it is, up to the length of the file", async () => {
    const seen: WriteProgress[] = [];
    await writeGguf(pathOf("model.gguf"), {
      metadata: new Map(),
      tensors: [floatTensor("a", [1, 2]), floatTensor("b", [3])],
      onProgress: (progress) => seen.push(progress),
    });
    const { fileBytes } = await readGguf(pathOf("model.gguf"));
    expect(seen.at(-1)).toEqual({ writtenBytes: fileBytes, totalBytes: fileBytes });
    expect(seen.map((progress) => progress.writtenBytes)).toEqual(
      seen.map((progress) => progress.writtenBytes).toSorted((a, b) => a - b),
    );
  });

  it("replaces a model that is there already only with a whole one", async () => {
    const path = pathOf("model.gguf");
    await writeTinyModel(path);
    const before = await readFile(path);
    const broken = { ...floatTensor("a", [1, 2, 3]), shape: [4] };
    await expect(writeTinyModel(path, { tensors: [broken] })).rejects.toThrow(
      "a has 12 bytes, wanted 16",
    );
    expect(await readFile(path)).toEqual(before);
    expect(await readdir(directory.path)).toEqual(["model.gguf"]);
  });

  it("leaves nothing behind when it is aborted", async () => {
    const controller = new AbortController();
    const writing = writeGguf(pathOf("model.gguf"), {
      metadata: new Map(),
      tensors: [floatTensor("a", [1]), floatTensor("b", [2])],
      onProgress: () => controller.abort(new Error("enough")),
      signal: controller.signal,
    });
    await expect(writing).rejects.toThrow("enough");
    expect(await readdir(directory.path)).toEqual([]);
  });

  it("refuses a place that is not there", async () => {
    const writing = writeTinyModel(pathOf("missing/model.gguf"));
    await expect(writing).rejects.toThrow(UsageError);
    await expect(writing).rejects.toThrow("missing/model.gguf");
  });
});

describe("readGguf()", () => {
  const refusal = async (path: string): Promise<string> => {
    const error: unknown = await readGguf(path).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(UsageError);
    return (error as UsageError).message;
  };

  it.each([
    ["an empty file", ""],
    ["a text", "Not a model at all, but a text of some length."],
    ["a web page", "<!DOCTYPE html><html>404</html>"],
    ["a pickle", "\u0080\u0002}q\u0000(X\u0006\u0000\u0000\u0000"],
  ])("refuses %s with a sentence", async (_, content) => {
    const path = pathOf("model.gguf");
    await writeFile(path, content, "latin1");
    expect(await refusal(path)).toBe(
      `Cannot read "${path}" as a GGUF model: it does not start with "GGUF"`,
    );
  });

  it("refuses a file that is missing, a directory and a device", async () => {
    expect(await refusal(pathOf("none.gguf"))).toBe(
      `Cannot find the model file "${pathOf("none.gguf")}"`,
    );
    expect(await refusal(directory.path)).toContain("wanted a .gguf file");
    expect(await refusal("/dev/null")).toContain("wanted a .gguf file");
  });

  it("refuses a model that is cut short anywhere", async () => {
    const path = pathOf("model.gguf");
    await writeTinyModel(path);
    const bytes = await readFile(path);
    const { headerBytes, dataOffset } = await readGguf(path);
    const lastDataByte = dataOffset + 32 + 4;
    for (let length = 4; length < lastDataByte; length++) {
      await writeFile(path, bytes.subarray(0, length));
      expect(await refusal(path)).toContain(
        length < headerBytes ? "ends in the middle of its header" : "is cut short: the last ",
      );
    }
    await writeFile(path, bytes.subarray(0, lastDataByte));
    expect((await readGguf(path)).fileBytes).toBe(lastDataByte);
  });

  it("reads a vocabulary without weights, with and without its padding", async () => {
    const path = pathOf("model.gguf");
    await writeTinyModel(path, { tensors: [] });
    const { headerBytes, dataOffset } = await readGguf(path);
    expect(dataOffset).toBeGreaterThan(headerBytes);
    await truncate(path, headerBytes);
    expect((await readGguf(path)).tensors).toEqual([]);
  });

  it("reads a header that is longer than the first read", async () => {
    const tokens = Array.from({ length: 30_000 }, (_, i) => `token ${i}`);
    const path = pathOf("model.gguf");
    await writeTinyModel(path, {
      metadata: [["tokens", { type: "array", elementType: "string", value: tokens }]],
    });
    const { metadata, headerBytes } = await readGguf(path);
    expect(headerBytes).toBeGreaterThan(256 * 1024);
    expect(metadata.get("tokens")?.value).toEqual(tokens);
  });
});
