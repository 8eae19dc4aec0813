import { UsageError } from "../../core/index.ts";
import { splitName } from "../split-files.ts";

/** As llama.cpp's -hf: the first of these that a repository has, else its first model. */
const DEFAULT_QUANTS = ["Q4_K_M", "Q8_0"];
/** Files that go with a model and are none. */
const COMPANION = /mmproj|imatrix|(^|[-.])(mtp|eagle3|dflash|dspark)-/i;
/** Names to list in a message. */
const MAX_LISTED = 20;

/**
 * The files of the model that a user means by "owner/repo:quant": one, or all parts in order.
 *
 * @param paths all that the repository holds
 * @param quant "Q8_0", or a file's name; undefined: as llama.cpp chooses
 * @throws UsageError that lists what there is when nothing fits or a part is missing
 */
export function chooseModelFiles(
  repository: string,
  paths: readonly string[],
  quant: string | undefined,
): string[] {
  const models = paths.filter(isModel).toSorted();
  const first = models.filter((path) => (splitName(path)?.number ?? 1) === 1);
  const chosen = quant === undefined ? chooseDefault(first) : first.find(fits(quant));
  if (chosen === undefined) throw new UsageError(refusal(repository, first, paths, quant));
  const split = splitName(chosen);
  if (split === undefined) return [chosen];
  const missing = split.parts.filter((part) => !models.includes(part));
  if (missing.length === 0) return split.parts;
  throw new UsageError(
    `Cannot load "${repository}": "${chosen}" is one of ${split.parts.length} parts, and "${missing[0]}" is not there`,
  );
}

function isModel(path: string): boolean {
  return (
    path.toLowerCase().endsWith(".gguf") && !COMPANION.test(path.slice(path.lastIndexOf("/") + 1))
  );
}

function chooseDefault(models: readonly string[]): string | undefined {
  for (const quant of DEFAULT_QUANTS) {
    const model = models.find(fits(quant));
    if (model !== undefined) return model;
  }
  return models[0];
}

/** "Q4_K" is not Q4_K_M, and "4_0" is not Q4_0; folders may be named by a quant too. */
function fits(quant: string): (path: string) => boolean {
  const name = quant.toLowerCase();
  const escaped = name.replaceAll(/[^\w]/g, String.raw`\$&`);
  const asPart = new RegExp(String.raw`(^|[-./])${escaped}([-./]|$)`);
  return (path) => path.toLowerCase() === name || asPart.test(path.toLowerCase());
}

function refusal(
  repository: string,
  models: readonly string[],
  paths: readonly string[],
  quant: string | undefined,
): string {
  if (models.length > 0) {
    return `Cannot find "${quant}" in "${repository}": wanted one of ${listed(models)}`;
  }
  const others = paths.length === 0 ? "it is empty" : `it holds ${listed(paths)}`;
  return `Cannot load "${repository}": there is no .gguf model in it (${others}); wanted a repository with one, often called "...-GGUF"`;
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).join(", ");
  return names.length > MAX_LISTED ? `${shown} and ${names.length - MAX_LISTED} more` : shown;
}
