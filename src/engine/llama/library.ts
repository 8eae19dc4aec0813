import { existsSync, readdirSync } from "node:fs";
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

/** llama.cpp, loaded and checked: once per thread, and one native copy per process. */
export interface LlamaLibrary {
  readonly functions: LlamaFunctions;
  /** "0.5.0-dev" */
  readonly version: string;
  /** What the library said at warning level or above since the last call. */
  takeLog(): string[];
  /**
   * Native code may log from threads that JavaScript cannot serve while it computes: listen while
   * models load, be deaf while they run.
   */
  setListening(isListening: boolean): void;
}

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
  return (names[`${platform}-${arch}`] ?? []).map((name) => `@node-llama-cpp/${name}`);
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
  const directories = directory === undefined ? installedDirectories() : [directory];
  if (directories.length === 0) {
    throw new Error(
      `Cannot find llama.cpp for ${process.platform}-${process.arch}: wanted one of ${candidatePackages().join(", ") || "(no package exists for it)"}; ` +
        `run "npm install" without --omit=optional`,
    );
  }
  const failures: string[] = [];
  for (const candidate of directories) {
    try {
      return (loaded = openLibrary(candidate));
    } catch (error) {
      failures.push(`${candidate}: ${messageOf(error)}`);
    }
  }
  throw new Error(`Cannot load llama.cpp:\n  ${failures.join("\n  ")}`);
}

function installedDirectories(): string[] {
  // The packages do not export their files, so look where Node would.
  const { resolve } = createRequire(import.meta.url);
  return candidatePackages().flatMap((name) =>
    (resolve.paths(name) ?? [])
      .map((folder) => path.join(folder, name, "bins", name.slice("@node-llama-cpp/".length)))
      .filter((directory) => existsSync(directory))
      .slice(0, 1),
  );
}

function openLibrary(directory: string): LlamaLibrary {
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
  const library: LlamaLibrary = {
    functions,
    version,
    takeLog: () => log.splice(0),
    setListening: (isListening) => functions.llama_log_set(isListening ? listener : deaf, null),
  };
  library.setListening(true);
  // The CPU variant that fits best is picked from this folder. A second call in the process adds nothing.
  ggml.func("void ggml_backend_load_all_from_path(const char *path)")(directory);
  functions.llama_backend_init();
  library.setListening(false);
  return library;
}

/** Libraries carry the release in their names: libllama.v0.5.0.so, libggml-base.dylib, llama.dll. */
function findLibrary(directory: string, name: string): string {
  const pattern = new RegExp(`^(lib)?${name}(\\.v?[0-9.]+)?\\.(so|dylib|dll)(\\.[0-9.]+)?$`);
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
