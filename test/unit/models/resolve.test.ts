import { readFile, readdir, truncate, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError, silentLogger } from "../../../src/core/index.ts";
import { fingerprintWeights } from "../../../src/models/fingerprint.ts";
import { parseModelName } from "../../../src/models/model-name.ts";
import { resolveModel, synthCacheDir } from "../../../src/models/resolve.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";
import { writeTinyModel } from "./tiny-model.ts";

const directory = useTemporaryDirectory();
const pathOf = (name: string): string => join(directory.path, name);

async function refusal(name: string): Promise<string> {
  const error: unknown = await resolveModel(name, { downloadDir: directory.path }).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(UsageError);
  return (error as UsageError).message;
}

describe("parseModelName()", () => {
  it.each([
    ["model.gguf", { kind: "file", path: "model.gguf" }],
    ["models/a.gguf", { kind: "file", path: "models/a.gguf" }],
    ["/models/a", { kind: "file", path: "/models/a" }],
    ["./a/b", { kind: "file", path: "./a/b" }],
    ["a/b/c", { kind: "file", path: "a/b/c" }],
    ["", { kind: "file", path: "" }],
    ["synth:25m", { kind: "synth", family: "llama", numParams: 25_000_000 }],
    ["synth:gemma3:1m", { kind: "synth", family: "gemma3", numParams: 1_000_000 }],
    ["owner/repo", { kind: "hub", repository: "owner/repo", quant: undefined }],
    ["owner/repo:a/b.gguf", { kind: "hub", repository: "owner/repo", quant: "a/b.gguf" }],
    ["Qwen/Qwen2.5-0.5B:Q4_K_M", { kind: "hub", repository: "Qwen/Qwen2.5-0.5B", quant: "Q4_K_M" }],
  ])("reads %j", (name, parsed) => {
    expect(parseModelName(name)).toEqual(parsed);
  });
});

describe("resolveModel()", () => {
  it("finds a file, and names its weights", async () => {
    const path = pathOf("model.gguf");
    await writeTinyModel(path);
    expect(await resolveModel(path)).toEqual({
      path,
      parts: [path],
      fingerprint: await fingerprintWeights([path]),
      modules: [],
    });
  });

  it("finds all parts of a split model from any of them", async () => {
    const parts = [1, 2, 3].map((part) => pathOf(`m-0000${part}-of-00003.gguf`));
    for (const part of parts) await writeTinyModel(part);
    for (const part of parts) {
      expect(await resolveModel(part)).toMatchObject({ path: parts[0], parts });
    }
  });

  it("names the parts that are missing", async () => {
    await writeTinyModel(pathOf("m-00001-of-00003.gguf"));
    await writeTinyModel(pathOf("m-00003-of-00003.gguf"));
    const message = await refusal(pathOf("m-00001-of-00003.gguf"));
    expect(message).toContain("Cannot find all 3 parts");
    expect(message).toContain(`: "${pathOf("m-00002-of-00003.gguf")}" is missing`);
  });

  it("refuses a missing file, a directory and a file that is no model", async () => {
    await writeFile(pathOf("text.gguf"), "Hello, this is no model.");
    expect(await refusal(pathOf("none.gguf"))).toContain("Cannot find the model file");
    expect(await refusal(pathOf("text.gguf/x"))).toContain("Cannot find the model file");
    expect(await refusal(directory.path)).toContain(`such as "${pathOf("text.gguf")}"`);
    expect(await refusal(pathOf("text.gguf"))).toContain('it does not start with "GGUF"');
    expect(await refusal("")).toContain("Cannot find the model file");
  });

  it("takes an existing file for what it is, though its name has the form of a hub model", async () => {
    expect(parseModelName("test/unit").kind).toBe("hub");
    expect(await refusal("test/unit")).toContain('Cannot load the directory "test/unit"');
  });

  it("makes a synth model once", async () => {
    let numCalls = 0;
    const messages: string[] = [];
    const options = {
      downloadDir: pathOf("cache"),
      onProgress: () => void numCalls++,
      logger: { ...silentLogger, info: (message: string) => void messages.push(message) },
    };
    const made = await resolveModel("synth:1m", options);
    expect(made.path).toMatch(/cache\/synth-v\d+-llama-1000000\.gguf$/);
    expect(numCalls).toBeGreaterThan(0);
    expect(messages).toEqual([expect.stringContaining(made.path)]);
    numCalls = 0;
    expect(await resolveModel("synth:1000000", options)).toEqual(made);
    expect(numCalls).toBe(0);
  });

  it("makes a synth model again when its file is damaged", async () => {
    const options = { downloadDir: directory.path };
    const { path, fingerprint } = await resolveModel("synth:1m", options);
    await truncate(path, 100_000);
    expect((await resolveModel("synth:1m", options)).fingerprint).toBe(fingerprint);
  });

  it("makes a synth model from several callers at once", async () => {
    const options = { downloadDir: directory.path };
    const models = await Promise.all([1, 2, 3].map(() => resolveModel("synth:1m", options)));
    expect(new Set(models.map((model) => model.fingerprint)).size).toBe(1);
    expect(await readdir(directory.path)).toHaveLength(1);
    expect(await fingerprintWeights([models[0]!.path])).toBe(models[0]!.fingerprint);
  });

  it("refuses a synth model of no possible size, and a cache that is a file", async () => {
    expect(await refusal("synth:7b")).toContain("wanted a number from 0.5m to 1b");
    await writeFile(pathOf("file"), "");
    const resolving = resolveModel("synth:1m", { downloadDir: pathOf("file/cache") });
    await expect(resolving).rejects.toThrow(UsageError);
    expect(await readFile(pathOf("file"), "utf8")).toBe("");
  });
});

describe("synthCacheDir()", () => {
  it("follows XDG_CACHE_HOME where that is an absolute path", () => {
    const inHome = join(homedir(), ".cache/warmkv/synth");
    expect(synthCacheDir({ XDG_CACHE_HOME: "/var/cache" })).toBe("/var/cache/warmkv/synth");
    expect(synthCacheDir({})).toBe(inHome);
    expect(synthCacheDir({ XDG_CACHE_HOME: "" })).toBe(inHome);
    expect(synthCacheDir({ XDG_CACHE_HOME: "relative" })).toBe(inHome);
  });
});
