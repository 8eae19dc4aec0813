import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { UsageError, formatBytes, messageOf, silentLogger, type Logger } from "../core/index.ts";
import { fingerprintAdapted, fingerprintWeights } from "./fingerprint.ts";
import { readGguf } from "./gguf-reader.ts";
import { checkLoraFile, type LoraFile, type NamedLoraFile } from "./lora-file.ts";
import { parseModelName } from "./model-name.ts";
import { modelParts } from "./split-files.ts";
import type { SynthName } from "./synth-name.ts";
import { SYNTH_VERSION, synthesizeModel } from "./synth.ts";

export interface ResolveModelOptions {
  /**
   * Where models are kept that are made on the spot (default: warmkv/synth in the user's cache) and that
   * are downloaded (default: the Hugging Face cache).
   */
  readonly downloadDir?: string | undefined;
  /** Branch, tag or commit on the hub. Default "main". */
  readonly revision?: string | undefined;
  /** LoRA adapters that will be added: the fingerprint counts them in. */
  readonly adapters?: readonly LoraFile[] | undefined;
  /** LoRA adapters that requests may ask for. */
  readonly modules?: readonly NamedLoraFile[] | undefined;
  /** Called while a model is made or downloaded. */
  readonly onProgress?: ((progress: ModelProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
  /** Where HF_TOKEN and the like are looked up. Default: the process's. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

export interface ModelProgress {
  readonly activity: "making" | "downloading";
  readonly doneBytes: number;
  /** What was missing at the start. */
  readonly totalBytes: number;
}

/** A model that is on this machine, whole. */
export interface ResolvedModel {
  /** The file to load: the first part of a split model. */
  readonly path: string;
  /** All files, in order. */
  readonly parts: readonly string[];
  /** See fingerprintWeights and fingerprintAdapted. */
  readonly fingerprint: string;
  readonly modules: readonly ResolvedModule[];
}

/** A LoRA adapter that requests may ask for. */
export interface ResolvedModule extends NamedLoraFile {
  /** Names its content and scale. */
  readonly fingerprint: string;
}

/**
 * Finds the model that a user named. A model of the hub is downloaded and a synth model is made, unless
 * that was done before.
 *
 * @throws UsageError with a sentence that says what is wrong with the name or the file, Error when the hub
 * cannot be reached
 */
export async function resolveModel(
  name: string,
  options: ResolveModelOptions = {},
): Promise<ResolvedModel> {
  const { adapters = [], modules = [] } = options;
  // Before anything is downloaded.
  for (const adapter of [...adapters, ...modules]) await checkLoraFile(adapter);
  const path = await findModelFile(name, options);
  const parts = await modelParts(path);
  const weights = await fingerprintWeights(parts);
  return {
    path: parts[0]!,
    parts,
    fingerprint: await fingerprintAdapted(weights, adapters),
    modules: await Promise.all(
      modules.map(async (module) => ({
        ...module,
        fingerprint: await fingerprintAdapted("", [module]),
      })),
    ),
  };
}

async function findModelFile(name: string, options: ResolveModelOptions): Promise<string> {
  const model = parseModelName(name);
  switch (model.kind) {
    case "file":
      return model.path;
    case "synth":
      return ensureSynthModel(model, options);
    case "hub":
      if (existsSync(name)) return name;
      return downloadModel(model, options);
  }
}

async function downloadModel(
  name: { readonly repository: string; readonly quant: string | undefined },
  options: ResolveModelOptions,
): Promise<string> {
  const { onProgress, env = process.env, logger = silentLogger } = options;
  // The hub's library takes a while to load.
  const { findHubModel } = await import("./hub/hub-model.ts");
  return findHubModel(name, {
    ...options,
    env,
    logger,
    onBytes: (doneBytes, totalBytes) =>
      onProgress?.({ activity: "downloading", doneBytes, totalBytes }),
  });
}

async function ensureSynthModel(
  { family, numParams }: SynthName,
  options: ResolveModelOptions,
): Promise<string> {
  const { downloadDir = synthCacheDir(options.env ?? process.env), onProgress, signal } = options;
  const path = join(downloadDir, `synth-v${SYNTH_VERSION}-${family}-${numParams}.gguf`);
  if (await isWholeModel(path)) return path;
  try {
    await mkdir(downloadDir, { recursive: true });
  } catch (error) {
    throw new UsageError(`Cannot keep models in "${downloadDir}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  // Two processes that come here at once both write, and the second rename puts equal bytes in place.
  const { numParameters } = await synthesizeModel({
    family,
    numParams,
    path,
    onProgress: ({ writtenBytes, totalBytes }) =>
      onProgress?.({ activity: "making", doneBytes: writtenBytes, totalBytes }),
    signal,
  });
  const { logger = silentLogger } = options;
  const { fileBytes } = await readGguf(path);
  logger.info(`Made ${path}: ${numParameters} random weights, ${formatBytes(fileBytes)}`);
  return path;
}

async function isWholeModel(path: string): Promise<boolean> {
  try {
    await readGguf(path);
    return true;
  } catch (error) {
    if (error instanceof UsageError) return false;
    throw error;
  }
}

/** As the XDG base directory specification says: a relative XDG_CACHE_HOME does not count. */
export function synthCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  const cacheHome = env["XDG_CACHE_HOME"] ?? "";
  return join(isAbsolute(cacheHome) ? cacheHome : join(homedir(), ".cache"), "warmkv", "synth");
}
