export { UsageError } from "./core/index.ts";
export type { ChatMessage, GenerationDelta } from "./engine/index.ts";
export {
  type Answer,
  type ChatOptions,
  type GenerateOptions,
  LLM,
  type LLMOptions,
} from "./llm/index.ts";
export type { LoraFile, ModelProgress } from "./models/index.ts";
