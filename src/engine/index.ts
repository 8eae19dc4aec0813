export {
  type ChatMessage,
  ChatTemplate,
  type ChatTool,
  type RenderOptions,
} from "./chat-template.ts";
export * from "./engine.ts";
export { type LoraModule, RESERVED_SALT, saltOf } from "./lora-module.ts";
export { type LlamaEngineOptions, checkEngineOptions, loadLlamaEngine } from "./load.ts";
export {
  type NumberRange,
  type SamplingParams,
  defaultSamplingParams,
  samplingRanges,
} from "./sampling-params.ts";
