import { UsageError } from "../core/index.ts";
import { SYNTH_FAMILIES } from "./families/index.ts";
import { parseParamCount } from "./synth-shape.ts";

/** The family whose models are made as large models are formed, for timing. */
export const DEFAULT_SYNTH_FAMILY = "llama";

export interface SynthName {
  readonly family: string;
  readonly numParams: number;
}

/**
 * Reads what follows "synth:": "25m" or "gemma3:1m".
 *
 * @throws UsageError for a family or a size that is not to be had
 */
export function parseSynthName(text: string): SynthName {
  const separator = text.lastIndexOf(":");
  const family = separator === -1 ? DEFAULT_SYNTH_FAMILY : text.slice(0, separator);
  return {
    family: checkSynthFamily(family),
    numParams: parseParamCount(text.slice(separator + 1)),
  };
}

/** @throws UsageError that lists the families */
export function checkSynthFamily(family: string): string {
  if (family !== DEFAULT_SYNTH_FAMILY && !SYNTH_FAMILIES.has(family)) {
    throw new UsageError(
      `Cannot make a model of the family "${family}": wanted one of ${synthFamilies().join(", ")}`,
    );
  }
  return family;
}

export function synthFamilies(): string[] {
  return [DEFAULT_SYNTH_FAMILY, ...SYNTH_FAMILIES.keys()];
}
