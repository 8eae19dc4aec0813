export {
  type ChatMessage,
  ChatTemplate,
  type ChatTool,
  type RenderOptions,
} from "./chat-template.ts";
export * from "./engine.ts";
export { type LlamaEngineOptions, checkEngineOptions, loadLlamaEngine } from "./load.ts";
export {
  type NumberRange,
  type SamplingParams,
  defaultSamplingParams,
  samplingRanges,
} from "./sampling-params.ts";
