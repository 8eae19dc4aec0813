import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { SYNTH_FAMILIES, familyModel } from "../../../src/models/families/index.ts";
import { readGgufInfo } from "../../../src/models/gguf-info.ts";
import { readGguf } from "../../../src/models/gguf-reader.ts";
import { parseSynthName } from "../../../src/models/synth-name.ts";
import { synthesizeModel } from "../../../src/models/synth.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";

const directory = useTemporaryDirectory();
const pathOf = (name: string): string => join(directory.path, name);

describe("parseSynthName()", () => {
  it("takes a size, or a family and a size", () => {
    expect(parseSynthName("25m")).toEqual({ family: "llama", numParams: 25e6 });
    expect(parseSynthName("gpt-oss:0.5m")).toEqual({ family: "gpt-oss", numParams: 5e5 });
  });

  it.each(["gpt5:1m", ":1m", "gemma3:1m:1m"])("refuses %j and lists the families", (name) => {
    expect(() => parseSynthName(name)).toThrow(UsageError);
    expect(() => parseSynthName(name)).toThrow(/wanted one of llama, .*gemma3, .*rwkv7/);
  });

  it.each(["gemma3", "gemma3:", "gemma3:big"])("refuses %j for its size", (name) => {
    expect(() => parseSynthName(name)).toThrow("parameters: wanted a number from 0.5m to 1b");
  });
});

describe.each([...SYNTH_FAMILIES])("family %s", (family, synthFamily) => {
  it("makes models near the size that was asked for", () => {
    for (const numParams of [3e6, 25e6, 1e8, 5e8]) {
      const { numParameters, shape } = familyModel(synthFamily, numParams);
      expect(numParameters / numParams).toBeGreaterThan(0.85);
      expect(numParameters / numParams).toBeLessThan(1.15);
      expect(shape.numLayers % synthFamily.layersPerGroup).toBe(0);
    }
    expect(familyModel(synthFamily, 5e5).numParameters).toBeLessThan(2e6);
  });

  it("names each tensor and each key once", () => {
    const { metadata, tensors } = familyModel(synthFamily, 1e6);
    const keys = metadata.map(([key]) => key);
    const names = tensors(0).map(({ name }) => name);
    expect(new Set(keys).size).toBe(keys.length);
    expect(new Set(names).size).toBe(names.length);
  });

  it("writes the same bytes for the same arguments, others for another seed", async () => {
    const bytesOf = async (seed: number): Promise<Buffer> => {
      await synthesizeModel({ family, numParams: 5e5, seed, path: pathOf("model.gguf") });
      return readFile(pathOf("model.gguf"));
    };
    const first = await bytesOf(0);
    expect(first.equals(await bytesOf(0))).toBe(true);
    expect(first.equals(await bytesOf(1))).toBe(false);
    const { metadata } = await readGguf(pathOf("model.gguf"));
    expect(metadata.get("general.architecture")?.value).toBe(synthFamily.architecture);
    expect(metadata.get("general.name")?.value).toBe(`synth-${family}-0.5m`);
  });
});

describe("readGgufInfo() of families", () => {
  it.each([
    ["qwen3vl", { slidingWindow: undefined, numStateLayers: 0, stateBytes: 0 }],
    ["gemma3", { slidingWindow: 512, numWindowLayers: 5, numFullAttentionLayers: 1 }],
    ["gemma4", { slidingWindow: 512, numWindowLayers: 2, numFullAttentionLayers: 2 }],
    ["gpt-oss", { slidingWindow: 128, numWindowLayers: 1, numFullAttentionLayers: 1 }],
    ["qwen35", { numStateLayers: 3, numFullAttentionLayers: 1, kvBytesPerToken: 256 }],
    ["falcon-h1", { numStateLayers: 4, numFullAttentionLayers: 4, stateBytes: 280_576 }],
    ["mamba2", { numFullAttentionLayers: 0, kvBytesPerToken: 0, stateBytes: 561_152 }],
    ["deepseek2", { numFullAttentionLayers: 4, kvBytesPerToken: 4608 }],
    ["deepseek4", { kvBytesPerToken: undefined, stateBytes: undefined }],
  ])("tells what holds a prompt in %s", async (family, expected) => {
    await synthesizeModel({ family, numParams: 1e6, path: pathOf("model.gguf") });
    expect(await readGgufInfo(pathOf("model.gguf"))).toMatchObject(expected);
  });
});
