export type { Answer, GenerateOptions } from "./answer.ts";
export { type ChatOptions, LLM, type LLMOptions } from "./llm.ts";
export {
  type CacheSettings,
  type OpenModelOptions,
  type OpenedModel,
  openModel,
} from "./open-model.ts";
