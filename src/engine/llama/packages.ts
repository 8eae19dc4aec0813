import { existsSync } from "node:fs";
import { join } from "node:path";

export type GpuKind = "cuda" | "vulkan" | "metal";

/** A folder with a build of llama.cpp that this machine can load. */
export interface LlamaBuild {
  readonly packageName: string;
  readonly directory: string;
  /** Undefined: it computes on the CPU alone. */
  readonly gpu: GpuKind | undefined;
  /** Where its backends are: the first that brings a GPU is enough. */
  readonly backendDirectories: readonly string[];
}

export interface FoundBuilds {
  /** Best first. */
  readonly builds: readonly LlamaBuild[];
  /** Why GPU builds that are installed cannot be used: one sentence each. */
  readonly problems: readonly string[];
}

/** What a GPU backend is linked with and the machine must bring, by the backend's folder in its package. */
interface GpuVariant {
  readonly packageSuffix: string;
  readonly folder: string;
  readonly libraries: readonly string[];
}

const SCOPE = "@node-llama-cpp";
/** Which of them the bindings were made for. */
export const PACKAGE_VERSION = "3.22.1";

/** The packages that carry llama.cpp for this machine, best first. GPU builds only where the user installed them. */
export function candidatePackages(
  platform: string = process.platform,
  arch: string = process.arch,
): string[] {
  const names: Record<string, string[]> = {
    "linux-x64": ["linux-x64-cuda", "linux-x64-vulkan", "linux-x64"],
    "linux-arm64": ["linux-arm64"],
    "linux-arm": ["linux-armv7l"],
    "linux-riscv64": ["linux-riscv64"],
    "darwin-arm64": ["mac-arm64-metal"],
    "darwin-x64": ["mac-x64"],
    "win32-x64": ["win-x64-cuda", "win-x64-vulkan", "win-x64"],
    "win32-arm64": ["win-arm64"],
  };
  return (names[`${platform}-${arch}`] ?? []).map((name) => `${SCOPE}/${name}`);
}

/** The backend for CUDA 13 is in the package; the one for CUDA 12 in its extension. */
const GPU_VARIANTS: Readonly<Record<string, readonly GpuVariant[]>> = {
  "linux-x64-cuda": [
    cuda("", "", ["libcuda.so.1", "libcudart.so.13", "libcublas.so.13"]),
    cuda("-ext", "fallback", ["libcuda.so.1", "libcudart.so.12", "libcublas.so.12"]),
  ],
  "win-x64-cuda": [
    cuda("", "", ["nvcuda.dll", "cudart64_13.dll", "cublas64_13.dll"]),
    cuda("-ext", "fallback", ["nvcuda.dll", "cudart64_12.dll", "cublas64_12.dll"]),
  ],
  "linux-x64-vulkan": [{ packageSuffix: "", folder: "", libraries: ["libvulkan.so.1"] }],
  "win-x64-vulkan": [{ packageSuffix: "", folder: "", libraries: ["vulkan-1.dll"] }],
  "mac-arm64-metal": [{ packageSuffix: "", folder: "", libraries: [] }],
};

function cuda(packageSuffix: string, folder: string, libraries: readonly string[]): GpuVariant {
  return { packageSuffix, folder, libraries };
}

/**
 * Looks for the packages and tries what their GPU backends need before anything of llama.cpp is loaded:
 * of that a process can have one copy only.
 *
 * @param folders node_modules, nearest first
 * @param failureOf why a shared library of this name cannot be loaded; undefined: it can
 */
export function findBuilds(
  packages: readonly string[],
  folders: readonly string[],
  failureOf: (library: string) => string | undefined,
): FoundBuilds {
  const usable: LlamaBuild[] = [];
  const withoutGpu: LlamaBuild[] = [];
  const problems: string[] = [];
  for (const packageName of packages) {
    const name = packageName.slice(SCOPE.length + 1);
    const directory = binariesOf(name, name, folders);
    if (directory === undefined) continue;
    const build = { packageName, directory, gpu: undefined, backendDirectories: [directory] };
    const variants = GPU_VARIANTS[name];
    if (variants === undefined) {
      usable.push(build);
      continue;
    }
    const failures: string[] = [];
    const backendDirectories = variants.flatMap(({ packageSuffix, folder, libraries }) => {
      const binaries = binariesOf(name + packageSuffix, name, folders);
      if (binaries === undefined) return [];
      const failure = firstFailure(libraries, failureOf);
      if (failure === undefined) return [join(binaries, folder)];
      failures.push(failure);
      return [];
    });
    if (backendDirectories.length > 0) {
      usable.push({
        ...build,
        gpu: gpuOf(name),
        // The processor's own backend is in the package's folder alone.
        backendDirectories: [...new Set([...backendDirectories, directory])],
      });
    } else {
      problems.push(
        `${packageName} is installed and cannot be used: ${[...new Set(failures)].join("; ")}`,
      );
      withoutGpu.push(build);
    }
  }
  return { builds: [...usable, ...withoutGpu], problems };
}

function binariesOf(
  packageName: string,
  folder: string,
  nodeModules: readonly string[],
): string | undefined {
  return nodeModules
    .map((directory) => join(directory, SCOPE, packageName, "bins", folder))
    .find((directory) => existsSync(directory));
}

function firstFailure(
  libraries: readonly string[],
  failureOf: (library: string) => string | undefined,
): string | undefined {
  for (const library of libraries) {
    const failure = failureOf(library);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function gpuOf(name: string): GpuKind {
  return name.slice(name.lastIndexOf("-") + 1) as GpuKind;
}
