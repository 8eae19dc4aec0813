import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { UsageError, formatBytes, messageOf, silentLogger, type Logger } from "../core/index.ts";
import { fingerprintWeights } from "./fingerprint.ts";
import { readGguf } from "./gguf-reader.ts";
import type { WriteProgress } from "./gguf-writer.ts";
import { parseModelName } from "./model-name.ts";
import { modelParts } from "./split-files.ts";
import { SYNTH_VERSION, synthesizeModel } from "./synth.ts";

export interface ResolveModelOptions {
  /** Where models that are made on the spot are kept. Default: warmkv/synth in the user's cache. */
  readonly downloadDir?: string | undefined;
  /** Called while a model is made. */
  readonly onProgress?: ((progress: WriteProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly logger?: Logger | undefined;
}

/** A model that is on this machine, whole. */
export interface ResolvedModel {
  /** The file to load: the first part of a split model. */
  readonly path: string;
  /** All files, in order. */
  readonly parts: readonly string[];
  /** See fingerprintWeights. */
  readonly fingerprint: string;
}

/**
 * Finds the model that a user named, and makes it if it is a synth model that was not made before.
 *
 * @throws UsageError with a sentence that says what is wrong with the name or the file
 */
export async function resolveModel(
  name: string,
  options: ResolveModelOptions = {},
): Promise<ResolvedModel> {
  const path = await findModelFile(name, options);
  const parts = await modelParts(path);
  return { path: parts[0]!, parts, fingerprint: await fingerprintWeights(parts) };
}

async function findModelFile(name: string, options: ResolveModelOptions): Promise<string> {
  const model = parseModelName(name);
  switch (model.kind) {
    case "file":
      return model.path;
    case "synth":
      return ensureSynthModel(model.numParams, options);
    case "hub":
      if (existsSync(name)) return name;
      throw new UsageError(
        `Cannot load "${name}": there is no such file, and models of the Hugging Face hub are not available in this version. Wanted a path to a .gguf file, or synth:25m`,
      );
  }
}

async function ensureSynthModel(numParams: number, options: ResolveModelOptions): Promise<string> {
  const { downloadDir = synthCacheDir(process.env), onProgress, signal } = options;
  const path = join(downloadDir, `synth-v${SYNTH_VERSION}-${numParams}.gguf`);
  if (await isWholeModel(path)) return path;
  try {
    await mkdir(downloadDir, { recursive: true });
  } catch (error) {
    throw new UsageError(`Cannot keep models in "${downloadDir}": ${messageOf(error)}`, {
      cause: error,
    });
  }
  // Two processes that come here at once both write, and the second rename puts equal bytes in place.
  const { numParameters } = await synthesizeModel({ numParams, path, onProgress, signal });
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
