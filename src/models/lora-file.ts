import { UsageError } from "../core/index.ts";
import { readGguf } from "./gguf-reader.ts";

/** A LoRA adapter in a GGUF file, and how strongly it applies. */
export interface LoraFile {
  readonly path: string;
  /** 1: as it was trained. */
  readonly scale: number;
}

const WITH_SCALE = /^(?<path>.*\.gguf):(?<scale>[^:\\/]*)$/s;

/**
 * Reads "adapter.gguf" or "adapter.gguf:0.5".
 *
 * @throws UsageError for a scale that is no number
 */
export function parseLoraFile(text: string): LoraFile {
  const match = WITH_SCALE.exec(text)?.groups;
  if (match === undefined) return { path: text, scale: 1 };
  const scale = match["scale"] === "" ? Number.NaN : Number(match["scale"]);
  if (Number.isFinite(scale)) return { path: match["path"]!, scale };
  throw new UsageError(
    `Cannot use --lora "${text}": wanted a .gguf file, with a colon and a number behind it for another scale than 1`,
    { param: "--lora" },
  );
}

/** A LoRA adapter that requests ask for by its name. */
export interface NamedLoraFile extends LoraFile {
  readonly name: string;
}

const NAMED = /^(?<name>[^=\s{]{1,256})=(?<file>.+)$/s;

/**
 * Reads vLLM's "name=adapter.gguf" or its JSON {"name":"...","path":"..."}.
 *
 * @throws UsageError for anything else
 */
export function parseLoraModule(text: string): NamedLoraFile {
  const match = NAMED.exec(text)?.groups;
  if (match !== undefined) return { name: match["name"]!, ...parseLoraFile(match["file"]!) };
  const { name, path } = fieldsOf(text);
  if (typeof name === "string" && name !== "" && typeof path === "string") {
    return { name, ...parseLoraFile(path) };
  }
  throw new UsageError(
    `Cannot use --lora-modules ${JSON.stringify(text)}: wanted name=adapter.gguf or {"name":"...","path":"..."}`,
    { param: "--lora-modules" },
  );
}

function fieldsOf(text: string): { readonly name?: unknown; readonly path?: unknown } {
  try {
    return Object(JSON.parse(text)) as { name?: unknown; path?: unknown };
  } catch {
    return {};
  }
}

/** @throws UsageError for a file that is missing or no adapter, or a scale that is no number */
export async function checkLoraFile({ path, scale }: LoraFile): Promise<void> {
  if (!Number.isFinite(scale)) {
    throw new UsageError(`Cannot use the LoRA adapter "${path}" at a scale of ${scale}`, {
      param: "--lora",
    });
  }
  const { metadata } = await readGguf(path);
  const type = metadata.get("general.type")?.value;
  if (type === "adapter") return;
  throw new UsageError(
    `Cannot use "${path}" as a LoRA adapter: its general.type is ${type === undefined ? "not stated" : `"${String(type)}"`}, wanted "adapter"`,
    { param: "--lora" },
  );
}
