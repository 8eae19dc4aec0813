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

interface LoadedAdapter {
  readonly pointer: Pointer;
  readonly scale: number;
}

/** What is added to everything that a context computes. The model frees the adapters. */
export class ContextAdapters {
  readonly #library: LlamaLibrary;
  readonly #context: Pointer;
  readonly #always: readonly LoadedAdapter[];
  readonly #modules: readonly LoadedAdapter[];
  #module: number | undefined;

  /**
   * @param always adapters that apply to everything
   * @param modules adapters of which one at a time may apply beside them
   * @throws UsageError with what llama.cpp said about an adapter that does not fit the model
   */
  constructor(
    library: LlamaLibrary,
    model: LlamaModel,
    context: Pointer,
    always: readonly LoraAdapter[],
    modules: readonly LoraAdapter[] = [],
  ) {
    this.#library = library;
    this.#context = context;
    const load = ({ path, scale }: LoraAdapter): LoadedAdapter => ({
      pointer: loadAdapter(library, model, path),
      scale,
    });
    this.#always = always.map(load);
    this.#modules = modules.map(load);
    this.#apply(this.#always);
  }

  /** From now on. @param module its place in the list; undefined: none */
  use(module: number | undefined): void {
    if (module === this.#module) return;
    this.#module = module;
    const own = module === undefined ? [] : [this.#modules[module]!];
    this.#apply([...this.#always, ...own]);
  }

  #apply(adapters: readonly LoadedAdapter[]): void {
    const pointers = BigUint64Array.from(adapters, ({ pointer }) => pointer);
    const scales = Float32Array.from(adapters, ({ scale }) => scale);
    const { llama_set_adapters_lora: set } = this.#library.functions;
    set(this.#context, pointers, adapters.length, scales);
  }
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
