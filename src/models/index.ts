export { readGgufInfo, type GgufInfo } from "./gguf-info.ts";
export { type LoraFile, type NamedLoraFile, parseLoraFile, parseLoraModule } from "./lora-file.ts";
export type { WriteProgress } from "./gguf-writer.ts";
export {
  resolveModel,
  type ModelProgress,
  type ResolveModelOptions,
  type ResolvedModel,
} from "./resolve.ts";
export { parseParamCount, type SynthShape } from "./synth-shape.ts";
export { synthesizeModel, type SynthesizeModelOptions } from "./synth.ts";
