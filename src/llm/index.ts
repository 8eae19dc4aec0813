export { type Answer, type GenerateOptions, LLM, type LLMOptions } from "./llm.ts";
export { type OpenModelOptions, type OpenedModel, openModel } from "./open-model.ts";
