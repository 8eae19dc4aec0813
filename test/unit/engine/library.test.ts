import { expect, test } from "vitest";
import { candidatePackages } from "../../../src/engine/llama/library.ts";

test.each([
  ["linux", "x64", ["linux-x64-cuda", "linux-x64-vulkan", "linux-x64"]],
  ["linux", "arm64", ["linux-arm64"]],
  ["darwin", "arm64", ["mac-arm64-metal"]],
  ["win32", "x64", ["win-x64-cuda", "win-x64-vulkan", "win-x64"]],
  ["sunos", "sparc", []],
])(
  "candidatePackages() of %s on %s prefers a GPU build where one is installed",
  (platform, arch, names) => {
    expect(candidatePackages(platform, arch)).toEqual(
      names.map((name) => `@node-llama-cpp/${name}`),
    );
  },
);
