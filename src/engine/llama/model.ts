import { UsageError } from "../../core/index.ts";
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
  /** @throws Error with what llama.cpp said about the file; UsageError when its architecture is too new or too odd */
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
      throw loadFailure(options.path, reason);
    }
    return model;
  } finally {
    library.setListening(false);
  }
}

function loadFailure(path: string, reason: string): Error {
  const architecture = /unknown model architecture: '(.*?)'/.exec(reason)?.[1];
  return architecture === undefined
    ? new Error(`Cannot load the model ${path}: ${reason}`)
    : new UsageError(
        `Cannot load the model ${path}: this release of llama.cpp knows no architecture "${architecture}"`,
        { param: "model" },
      );
}
