export { UsageError } from "./core/index.ts";
export { type Answer, type GenerateOptions, LLM, type LLMOptions } from "./llm/index.ts";
