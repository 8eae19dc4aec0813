import { mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { isSafePath } from "../../../src/models/hub/hub-file.ts";
import { readHubSettings } from "../../../src/models/hub/hub-settings.ts";
import { chooseModelFiles } from "../../../src/models/hub/quant.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";

describe("chooseModelFiles()", () => {
  const choose = (quant: string | undefined, ...paths: string[]): string[] =>
    chooseModelFiles("o/r", paths, quant);

  it.each<[string, string | undefined, string[], string[]]>([
    ["Q4_K_M without being asked", undefined, ["a-Q2_K.gguf", "a-q4_k_m.gguf"], ["a-q4_k_m.gguf"]],
    ["Q8_0 where there is no Q4_K_M", undefined, ["a-BF16.gguf", "a-Q8_0.gguf"], ["a-Q8_0.gguf"]],
    ["the first model otherwise", undefined, ["b.gguf", "a.gguf"], ["a.gguf"]],
    ["not Q4_K_M for Q4_K", "Q4_K", ["a-Q4_K_M.gguf", "a.Q4_K.gguf"], ["a.Q4_K.gguf"]],
    ["not IQ4_XS for Q4_XS", "IQ4_XS", ["a-UD-IQ4_XS.gguf"], ["a-UD-IQ4_XS.gguf"]],
    ["a folder's quant", "BF16", ["BF16/a.gguf", "a-Q8_0.gguf"], ["BF16/a.gguf"]],
    ["a file by its name", "x/A.gguf", ["x/a.gguf", "a.gguf"], ["x/a.gguf"]],
    ["no companions", undefined, ["mmproj-a-Q4_K_M.gguf", "imatrix.gguf", "z.gguf"], ["z.gguf"]],
    ["no file of other kinds", "Q8_0", ["a-Q8_0.gguf.txt", "b-Q8_0.gguf"], ["b-Q8_0.gguf"]],
    [
      "all parts in order",
      undefined,
      ["a-Q4_K_M-00002-of-00002.gguf", "a-Q4_K_M-00001-of-00002.gguf"],
      ["a-Q4_K_M-00001-of-00002.gguf", "a-Q4_K_M-00002-of-00002.gguf"],
    ],
  ])("takes %s", (_, quant, paths, chosen) => {
    expect(choose(quant, ...paths)).toEqual(chosen);
  });

  it("says what there is when nothing fits", () => {
    expect(() => choose("Q4_XS", "a-IQ4_XS.gguf")).toThrow('Cannot find "Q4_XS" in "o/r"');
    expect(() => choose(undefined)).toThrow("there is no .gguf model in it (it is empty)");
    const many = Array.from({ length: 30 }, (_, index) => `a${index}.gguf`);
    expect(() => choose("Q1", ...many)).toThrow(/ and 10 more$/);
    expect(() => choose("a-00002-of-00002.gguf", "a-00002-of-00002.gguf")).toThrow(UsageError);
  });

  it("takes any text for a quant and answers with a file or a sentence", () => {
    fc.assert(
      fc.property(fc.string(), (quant) => {
        try {
          expect(choose(quant, "a-Q8_0.gguf")).toEqual(["a-Q8_0.gguf"]);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
        }
      }),
    );
  });
});

describe("readHubSettings()", () => {
  const directory = useTemporaryDirectory();

  it("reads what huggingface_hub reads", () => {
    const cacheDir = (env: Record<string, string>, dir?: string): string =>
      readHubSettings(env, dir).cacheDir;
    expect(cacheDir({})).toBe(join(homedir(), ".cache/huggingface/hub"));
    expect(cacheDir({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
    expect(cacheDir({ HF_HOME: "/h", XDG_CACHE_HOME: "/x" })).toBe("/h/hub");
    expect(cacheDir({ HF_HUB_CACHE: "/c", HF_HOME: "/h" })).toBe("/c");
    expect(cacheDir({ HF_HUB_CACHE: "/c" }, "/d")).toBe("/d");
  });

  it("finds a token in the environment before the one that was logged in with", () => {
    const env = { HF_HOME: directory.path };
    expect(readHubSettings(env).token).toBeUndefined();
    writeFileSync(join(directory.path, "token"), "hf_file\n");
    expect(readHubSettings(env).token).toBe("hf_file");
    expect(readHubSettings({ ...env, HF_TOKEN: "hf_env\n" }).token).toBe("hf_env");
    mkdirSync(join(directory.path, "folder"));
    const elsewhere = { ...env, HF_TOKEN_PATH: join(directory.path, "folder") };
    expect(readHubSettings(elsewhere).token).toBeUndefined();
  });

  it("takes another endpoint, and only an address for one", () => {
    expect(readHubSettings({}).endpoint).toBe("https://huggingface.co");
    expect(readHubSettings({ HF_ENDPOINT: "http://h:1/" }).endpoint).toBe("http://h:1");
    expect(() => readHubSettings({ HF_ENDPOINT: "ftp://h" })).toThrow(UsageError);
    for (const yes of ["1", "ON", "yes", "True"]) {
      expect(readHubSettings({ HF_HUB_OFFLINE: yes }).isOffline).toBe(true);
    }
    expect(readHubSettings({ HF_HUB_OFFLINE: "0" }).isOffline).toBe(false);
  });
});

describe("isSafePath()", () => {
  it("keeps names from leading out of a folder", () => {
    for (const path of ["a", "a/b.gguf", "a..b", "refs/pr/1"]) expect(isSafePath(path)).toBe(true);
    for (const path of ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\\b", "c:/a", "a\0"]) {
      expect(isSafePath(path), path).toBe(false);
    }
  });
});
