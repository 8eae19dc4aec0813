import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { UsageError, silentLogger } from "../../../src/core/index.ts";
import { type GpuLayers, type GpuSupport, chooseGpuLayers } from "../../../src/engine/llama/gpu.ts";
import {
  type FoundBuilds,
  PACKAGE_VERSION,
  candidatePackages,
  findBuilds,
} from "../../../src/engine/llama/packages.ts";

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

test("PACKAGE_VERSION is that of the packages that are installed with us", () => {
  const { optionalDependencies } = createRequire(import.meta.url)("../../../package.json") as {
    optionalDependencies: Record<string, string>;
  };
  const versions = Object.entries(optionalDependencies)
    .filter(([name]) => name.startsWith("@node-llama-cpp/"))
    .map(([, version]) => version);
  expect(new Set(versions)).toEqual(new Set([PACKAGE_VERSION]));
});

describe("findBuilds()", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "warmkv-packages-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const CUDA_12 = ["libcuda.so.1", "libcudart.so.12", "libcublas.so.12"];
  const CUDA_13 = ["libcuda.so.1", "libcudart.so.13", "libcublas.so.13"];
  const at = (name: string, ...rest: string[]): string =>
    join(folder, "@node-llama-cpp", name, "bins", ...rest);

  function install(...names: string[]): void {
    for (const name of names) mkdirSync(at(name, name.replace("-ext", "")), { recursive: true });
  }

  function find(libraries: readonly string[], platform = "linux", arch = "x64"): FoundBuilds {
    return findBuilds(candidatePackages(platform, arch), ["/nowhere", folder], (library) =>
      libraries.includes(library) ? undefined : `${library}: not found`,
    );
  }

  const namesOf = ({ builds }: FoundBuilds): string[] =>
    builds.map(({ packageName, gpu }) => `${packageName.split("/")[1]} ${gpu ?? "cpu"}`);

  it("takes the processor's build where no other is installed", () => {
    install("linux-x64");
    expect(find([])).toEqual({
      builds: [
        {
          packageName: "@node-llama-cpp/linux-x64",
          directory: at("linux-x64", "linux-x64"),
          gpu: undefined,
          backendDirectories: [at("linux-x64", "linux-x64")],
        },
      ],
      problems: [],
    });
    expect(find([], "darwin", "arm64").builds).toEqual([]);
  });

  it("prefers CUDA to Vulkan to the processor, as far as the machine has what they need", () => {
    install("linux-x64", "linux-x64-cuda", "linux-x64-vulkan");
    const everything = find([...CUDA_13, "libvulkan.so.1"]);
    expect(namesOf(everything)).toEqual([
      "linux-x64-cuda cuda",
      "linux-x64-vulkan vulkan",
      "linux-x64 cpu",
    ]);
    const onlyVulkan = find(["libvulkan.so.1"]);
    expect(namesOf(onlyVulkan).slice(0, 2)).toEqual(["linux-x64-vulkan vulkan", "linux-x64 cpu"]);
    expect(onlyVulkan.problems).toEqual([
      "@node-llama-cpp/linux-x64-cuda is installed and cannot be used: libcuda.so.1: not found",
    ]);
  });

  it("takes CUDA 12 from the extension, and the processor's backend from the package", () => {
    install("linux-x64-cuda", "linux-x64-cuda-ext");
    const main = at("linux-x64-cuda", "linux-x64-cuda");
    const fallback = at("linux-x64-cuda-ext", "linux-x64-cuda", "fallback");
    expect(find(CUDA_12).builds[0]!.backendDirectories).toEqual([fallback, main]);
    expect(find(CUDA_13).builds[0]!.backendDirectories).toEqual([main]);
    expect(find([...CUDA_12, ...CUDA_13]).builds[0]!.backendDirectories).toEqual([main, fallback]);
    expect(find(["libcuda.so.1"]).problems[0]).toMatch(/libcudart.so.13: .*libcudart.so.12: /);
  });

  it("computes on the processor with a GPU build when there is no other", () => {
    install("linux-x64-vulkan");
    const found = find([]);
    expect(namesOf(found)).toEqual(["linux-x64-vulkan cpu"]);
    expect(found.problems).toHaveLength(1);
  });

  it("knows Metal, which needs nothing", () => {
    install("mac-arm64-metal");
    expect(namesOf(find([], "darwin", "arm64"))).toEqual(["mac-arm64-metal metal"]);
  });
});

describe("chooseGpuLayers()", () => {
  const none: GpuSupport = { devices: [], problems: [] };
  const broken: GpuSupport = {
    devices: [],
    problems: ["cuda is installed and cannot be used: no driver"],
  };
  const there: GpuSupport = { devices: ["A fine GPU"], problems: [] };

  function logOf(wanted: GpuLayers, gpu: GpuSupport): string[] {
    const lines: string[] = [];
    const log = (line: string): void => void lines.push(line);
    chooseGpuLayers(wanted, gpu, { ...silentLogger, info: log, warn: log });
    return lines;
  }

  it("takes as many layers as asked for, or all, onto a GPU that is there", () => {
    expect(chooseGpuLayers("auto", there, silentLogger)).toBe(-1);
    expect(chooseGpuLayers("all", there, silentLogger)).toBe(-1);
    expect(chooseGpuLayers(7, there, silentLogger)).toBe(7);
    expect(chooseGpuLayers(0, there, silentLogger)).toBe(0);
    expect(logOf("auto", there)).toEqual(["Computing on A fine GPU"]);
  });

  it("falls back to the processor by itself, and says why where somebody installed a GPU build", () => {
    expect(chooseGpuLayers("auto", none, silentLogger)).toBe(0);
    expect(logOf("auto", none)).toEqual([]);
    expect(logOf("auto", broken)).toEqual([`Computing on the CPU: ${broken.problems[0]}`]);
    expect(logOf(0, broken)).toEqual([]);
  });

  it("refuses layers for a GPU that cannot be had", () => {
    for (const wanted of [1, "all"] as const) {
      expect(() => chooseGpuLayers(wanted, none, silentLogger)).toThrow(UsageError);
      expect(() => chooseGpuLayers(wanted, broken, silentLogger)).toThrow(
        `Cannot use --gpu-layers ${wanted}: cuda is installed and cannot be used: no driver`,
      );
    }
  });
});
