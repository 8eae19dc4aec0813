import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { messageOf } from "../../core/index.ts";
import { koffi } from "../../native/index.ts";
import {
  EXPECTED_LAYOUT,
  LLAMA_RELEASE,
  LLAMA_VERSION_PATTERN,
  type LlamaFunctions,
  bindFunctions,
  logCallbackPointer,
} from "./bindings.ts";
import type { GpuSupport } from "./gpu.ts";
import { type FoundBuilds, type LlamaBuild, candidatePackages, findBuilds } from "./packages.ts";

/** llama.cpp, loaded and checked: once per thread, and one native copy per process. */
export interface LlamaLibrary {
  readonly functions: LlamaFunctions;
  /** "0.5.0-dev" */
  readonly version: string;
  readonly gpu: GpuSupport;
  /** What the library said at warning level or above since the last call. */
  takeLog(): string[];
  /**
   * Native code may log from threads that JavaScript cannot serve while it computes: listen while
   * models load, be deaf while they run.
   */
  setListening(isListening: boolean): void;
}

let loaded: LlamaLibrary | undefined;

/**
 * Loads llama.cpp into this thread; natively it is one copy per process. WARMKV_LLAMA_DIR names a folder with a build of one's own.
 *
 * @throws Error in one sentence when nothing fits this machine or the release is another one
 */
export function loadLlamaLibrary(): LlamaLibrary {
  if (loaded) return loaded;
  const directory = process.env["WARMKV_LLAMA_DIR"];
  // An assertion in native code would otherwise start a debugger to print a backtrace.
  process.env["GGML_NO_BACKTRACE"] ??= "1";
  const { builds, problems } = directory === undefined ? installedBuilds() : ownBuild(directory);
  if (builds.length === 0) {
    throw new Error(
      `Cannot find llama.cpp for ${process.platform}-${process.arch}: wanted one of ${candidatePackages().join(", ") || "(no package exists for it)"}; ` +
        `run "npm install" without --omit=optional`,
    );
  }
  const failures: string[] = [];
  for (const build of builds) {
    try {
      return (loaded = openLibrary(build, problems));
    } catch (error) {
      failures.push(`${build.directory}: ${messageOf(error)}`);
    }
  }
  throw new Error(`Cannot load llama.cpp:\n  ${failures.join("\n  ")}`);
}

function installedBuilds(): FoundBuilds {
  // The packages do not export their files, so look where Node would.
  const folders = createRequire(import.meta.url).resolve.paths("@node-llama-cpp/any") ?? [];
  return findBuilds(candidatePackages(), folders, failureOf);
}

function ownBuild(directory: string): FoundBuilds {
  const packageName = "WARMKV_LLAMA_DIR";
  const build = { packageName, directory, gpu: undefined, backendDirectories: [directory] };
  return { builds: [build], problems: [] };
}

/** Libraries of GPU drivers, kept open: llama.cpp's backends find them by their names. */
const driverLibraries: ReturnType<typeof koffi.load>[] = [];

function failureOf(library: string): string | undefined {
  try {
    driverLibraries.push(koffi.load(library));
    return undefined;
  } catch (error) {
    return `${library}: ${messageOf(error).replace(/^Failed to load shared library: /, "")}`;
  }
}

function openLibrary(build: LlamaBuild, problems: readonly string[]): LlamaLibrary {
  const { directory } = build;
  // Order matters: each library finds the one before it by its global symbols.
  const base = findLibrary(directory, "ggml-base");
  koffi.load(base, { global: true });
  const ggml = koffi.load(findLibrary(directory, "ggml"), { global: true });
  const llama = koffi.load(findLibrary(directory, "llama"), { global: true });
  const functions = bindFunctions(llama);
  const version = String(functions.llama_version());
  verifyLayouts(functions, version);

  const log: string[] = [];
  const listener = koffi.register((level: number, text: string) => {
    if (level >= 3 && text.trim() !== "" && log.length < 100) log.push(text.trim());
  }, logCallbackPointer);
  const deaf = nativeNoOp();
  const setListening = (isListening: boolean): void => {
    functions.llama_log_set(isListening ? listener : deaf, null);
  };
  setListening(true);
  const devices = loadBackends(ggml, build);
  functions.llama_backend_init();
  setListening(false);
  return {
    functions,
    version,
    gpu: { devices, problems: [...problems, ...deviceProblems(build, devices, log.splice(0))] },
    takeLog: () => log.splice(0),
    setListening,
  };
}

type LoadedLibrary = ReturnType<typeof koffi.load>;

/**
 * Loads the backends of a build: those for GPUs, and the CPU variant that fits best. A second call in the
 * process adds nothing.
 *
 * @returns what the GPUs call themselves
 */
function loadBackends(ggml: LoadedLibrary, build: LlamaBuild): string[] {
  const loadFrom = ggml.func("void ggml_backend_load_all_from_path(const char *path)");
  for (const directory of build.backendDirectories) {
    if (directory === build.directory || gpuDevices(ggml).length === 0) loadFrom(directory);
  }
  return gpuDevices(ggml);
}

/** ggml's kinds of devices: a GPU with memory of its own, and one that shares the machine's. */
const GPU_DEVICE_TYPES = new Set([1, 2]);

function gpuDevices(ggml: LoadedLibrary): string[] {
  const count = Number(ggml.func("size_t ggml_backend_dev_count()")());
  const deviceAt = ggml.func("void *ggml_backend_dev_get(size_t index)");
  const typeOf = ggml.func("int ggml_backend_dev_type(void *device)");
  const descriptionOf = ggml.func("const char *ggml_backend_dev_description(void *device)");
  return Array.from({ length: count }, (_, index): unknown => deviceAt(index))
    .filter((device) => GPU_DEVICE_TYPES.has(typeOf(device) as number))
    .map((device) => String(descriptionOf(device)));
}

function deviceProblems(
  build: LlamaBuild,
  devices: readonly string[],
  log: readonly string[],
): string[] {
  if (build.gpu === undefined || devices.length > 0) return [];
  const said = log.length === 0 ? "" : ` (${log.join("; ")})`;
  return [`${build.packageName} found no GPU that it can use${said}`];
}

/** Libraries carry GPU and release in their names: libllama.cuda.v0.5.0.so, libggml-base.dylib, llama.dll. */
function findLibrary(directory: string, name: string): string {
  const pattern = new RegExp(
    `^(lib)?${name}(\\.[a-z]+)?(\\.v?[0-9.]+)?\\.(so|dylib|dll)(\\.[0-9.]+)?$`,
  );
  const file = readdirSync(directory).find((entry) => pattern.test(entry));
  if (file === undefined) throw new Error(`no library "${name}" in it`);
  return path.join(directory, file);
}

function verifyLayouts(functions: LlamaFunctions, version: string): void {
  const refuse = (what: string): never => {
    throw new Error(
      `it is not llama.cpp ${LLAMA_RELEASE}, for which this version was made: ${what}`,
    );
  };
  if (!LLAMA_VERSION_PATTERN.test(version)) refuse(`its version is ${version}`);
  for (const [type, size] of EXPECTED_LAYOUT.sizes) {
    if (koffi.sizeof(type) !== size)
      refuse(`a struct has ${koffi.sizeof(type)} bytes, wanted ${size}`);
  }
  const check = (
    actual: Record<string, unknown>,
    expected: Readonly<Record<string, unknown>>,
  ): void => {
    for (const [field, value] of Object.entries(expected)) {
      if (actual[field] !== value)
        refuse(`default ${field} is ${String(actual[field])}, wanted ${String(value)}`);
    }
  };
  check(functions.llama_model_default_params(), EXPECTED_LAYOUT.modelDefaults);
  check(functions.llama_context_default_params(), EXPECTED_LAYOUT.contextDefaults);
}

/** Address of a native function that may be called with anything and does nothing. */
function nativeNoOp(): bigint {
  const name =
    process.platform === "win32"
      ? "ucrtbase.dll"
      : process.platform === "darwin"
        ? "libSystem.dylib"
        : "libc.so.6";
  return koffi.load(name).symbol("abs") as unknown as bigint;
}
