import type { LlamaFunctions, Pointer } from "./bindings.ts";

/** What a loaded model says of itself. Reads only, so any thread may ask. */
export class LlamaModelInfo {
  readonly native: Pointer;
  readonly functions: LlamaFunctions;

  constructor(functions: LlamaFunctions, native: Pointer) {
    this.functions = functions;
    this.native = native;
  }

  get numParameters(): number {
    return Number(this.functions.llama_model_n_params(this.native));
  }

  /** A metadata value as text, or undefined. */
  metadata(key: string): string | undefined {
    const probe = new Uint8Array(1);
    const length = this.functions.llama_model_meta_val_str(this.native, key, probe, 1) as number;
    if (length < 0) return undefined;
    const buffer = new Uint8Array(length + 1);
    this.functions.llama_model_meta_val_str(this.native, key, buffer, buffer.length);
    return Buffer.from(buffer.subarray(0, length)).toString("utf8");
  }
}
