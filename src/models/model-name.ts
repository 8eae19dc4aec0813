import { parseSynthName, type SynthName } from "./synth-name.ts";

/** What a user may name as a model. */
export type ModelName =
  /** A path to a .gguf file, or to any part of a split one. */
  | { readonly kind: "file"; readonly path: string }
  /** "synth:25m", "synth:gemma3:1m": random weights of about that many parameters. */
  | ({ readonly kind: "synth" } & SynthName)
  /** "owner/repo", "owner/repo:quant" or "owner/repo:file.gguf" on the Hugging Face hub. */
  | { readonly kind: "hub"; readonly repository: string; readonly quant: string | undefined };

const SYNTH_PREFIX = "synth:";
const HUB_NAME = /^(?<repository>[\w-][\w.-]*\/[\w.-]+)(?::(?<quant>[\w./-]+))?$/;

/**
 * Reads a name by its form alone: "models/tiny" is taken for a repository, "./models/tiny" for a path.
 *
 * @throws UsageError for a synth model of no possible size
 */
export function parseModelName(name: string): ModelName {
  if (name.startsWith(SYNTH_PREFIX)) {
    return { kind: "synth", ...parseSynthName(name.slice(SYNTH_PREFIX.length)) };
  }
  const hub = HUB_NAME.exec(name)?.groups;
  const isFileName = hub?.["quant"] === undefined && name.endsWith(".gguf");
  if (hub === undefined || isFileName) return { kind: "file", path: name };
  return { kind: "hub", repository: hub["repository"]!, quant: hub["quant"] };
}
