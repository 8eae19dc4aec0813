export { type ChatMessage, ChatTemplate } from "./chat-template.ts";
export * from "./engine.ts";
export { type LlamaEngineOptions, loadLlamaEngine } from "./load.ts";
export { type SamplingParams, defaultSamplingParams } from "./sampling-params.ts";
