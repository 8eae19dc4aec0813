import { deepseek4 } from "./deepseek4.ts";
import { minimaxM3, qwen2vl, qwen3vl } from "./dense.ts";
import { kimiLinear, qwen35, qwen35moe, qwen3next } from "./delta-net.ts";
import type { SynthFamily } from "./family.ts";
import { falconH1, graniteHybrid, jamba, lfm2, minimax01, nemotronH } from "./hybrid.ts";
import { deepseek2, deepseek32, glmDsa } from "./latent.ts";
import { qwen4exp } from "./qwen4exp.ts";
import { mamba, mamba2, rwkv7 } from "./recurrent.ts";
import { cohere2, gemma2, gemma3, gemma4, gptOss, llama4 } from "./sliding-window.ts";

/** By the name that a user gives. */
export const SYNTH_FAMILIES: ReadonlyMap<string, SynthFamily> = new Map<string, SynthFamily>([
  ["cohere2", cohere2],
  ["deepseek2", deepseek2],
  ["deepseek32", deepseek32],
  ["deepseek4", deepseek4],
  ["falcon-h1", falconH1],
  ["gemma2", gemma2],
  ["gemma3", gemma3],
  ["gemma4", gemma4],
  ["glm-dsa", glmDsa],
  ["gpt-oss", gptOss],
  ["granite-hybrid", graniteHybrid],
  ["jamba", jamba],
  ["kimi-linear", kimiLinear],
  ["lfm2", lfm2],
  ["llama4", llama4],
  ["mamba", mamba],
  ["mamba2", mamba2],
  ["minimax-01", minimax01],
  ["minimax-m3", minimaxM3],
  ["nemotron-h", nemotronH],
  ["qwen2vl", qwen2vl],
  ["qwen35", qwen35],
  ["qwen35moe", qwen35moe],
  ["qwen3next", qwen3next],
  ["qwen3vl", qwen3vl],
  ["qwen4exp", qwen4exp],
  ["rwkv7", rwkv7],
]);

export { familyModel, type FamilyModel } from "./family-model.ts";
export type { SynthFamily } from "./family.ts";
