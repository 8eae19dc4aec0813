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
