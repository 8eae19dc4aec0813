import { UsageError } from "../../core/index.ts";
import type { Pointer } from "./bindings.ts";
import type { LlamaLibrary } from "./library.ts";
import type { LlamaModel } from "./model.ts";

/** A LoRA adapter: small matrices that are added to a model's. */
export interface LoraAdapter {
  /** A GGUF file. */
  readonly path: string;
  /** 1: as it was trained. */
  readonly scale: number;
}

/**
 * Adds adapters to everything that a context computes from now on. The model frees them.
 *
 * @throws UsageError with what llama.cpp said about an adapter that does not fit the model
 */
export function applyAdapters(
  library: LlamaLibrary,
  model: LlamaModel,
  context: Pointer,
  adapters: readonly LoraAdapter[],
): void {
  if (adapters.length === 0) return;
  const pointers = BigUint64Array.from(adapters, ({ path }) => loadAdapter(library, model, path));
  const scales = Float32Array.from(adapters, ({ scale }) => scale);
  library.functions.llama_set_adapters_lora(context, pointers, adapters.length, scales);
}

function loadAdapter(library: LlamaLibrary, model: LlamaModel, path: string): Pointer {
  const { functions } = library;
  library.setListening(true);
  library.takeLog();
  try {
    const adapter = functions.llama_adapter_lora_init(model.native, path) as Pointer | null;
    if (adapter === null) {
      const reason = library.takeLog().join("; ") || "llama.cpp gave no reason";
      throw new UsageError(`Cannot use the LoRA adapter "${path}": ${reason}`, { param: "--lora" });
    }
    if (functions.llama_adapter_get_alora_n_invocation_tokens(adapter) > 0) {
      throw new UsageError(
        `Cannot use the LoRA adapter "${path}": it is switched on by tokens of the prompt (aLoRA); wanted one that always applies`,
        { param: "--lora" },
      );
    }
    return adapter;
  } finally {
    library.setListening(false);
  }
}
