import type { ModelParams, Pointer } from "./bindings.ts";
import type { LlamaLibrary } from "./library.ts";
import { LlamaModelInfo } from "./model-info.ts";

export interface LlamaModelOptions {
  /** First file of the model; split files find their siblings. */
  readonly path: string;
  /** Layers to put on a GPU; negative: all that fit. */
  readonly numGpuLayers: number;
}

/** Weights in memory. */
export class LlamaModel extends LlamaModelInfo implements Disposable {
  /** @throws Error with what llama.cpp said about the file */
  constructor(library: LlamaLibrary, options: LlamaModelOptions) {
    super(library.functions, loadWeights(library, options));
  }

  [Symbol.dispose](): void {
    this.functions.llama_model_free(this.native);
  }
}

function loadWeights(library: LlamaLibrary, options: LlamaModelOptions): Pointer {
  const { functions } = library;
  const params = functions.llama_model_default_params() as ModelParams;
  params["n_gpu_layers"] = options.numGpuLayers;
  library.setListening(true);
  library.takeLog();
  try {
    const model = functions.llama_model_load_from_file(options.path, params) as Pointer | null;
    if (model === null) {
      const reason = library.takeLog().join("; ") || "llama.cpp gave no reason";
      throw new Error(`Cannot load the model ${options.path}: ${reason}`);
    }
    return model;
  } finally {
    library.setListening(false);
  }
}
