import type { ChunkKey } from "../../../src/core/index.ts";
import type { Prompt } from "../../../src/simulate/prompt.ts";
import { SimulatedTier } from "../../../src/simulate/simulated-tier.ts";
import { Simulation } from "../../../src/simulate/simulation.ts";
import { createSimulationPolicy } from "../../../src/simulate/simulation-policy.ts";
import type { TraceRequest } from "../../../src/simulate/trace.ts";

export const CHUNK_TOKENS = 10;

/** A prompt of whole chunks, each named by the words. */
export function prompt(text: string, numTokens?: number): Prompt {
  const keys = text.split(" ") as ChunkKey[];
  return { keys, numTokens: numTokens ?? keys.length * CHUNK_TOKENS, chunkTokens: CHUNK_TOKENS };
}

export function request(blocks: readonly number[], timestampMs = 0): TraceRequest {
  return { timestampMs, numInputTokens: blocks.length * CHUNK_TOKENS, numOutputTokens: 1, blocks };
}

/** Plays prompts and tells for each how many of its chunks were hits. */
export function replay(policy: string, capacity: number, texts: readonly string[]): number[] {
  const tier = new SimulatedTier("cpu", capacity, createSimulationPolicy(policy, capacity));
  const simulation = new Simulation(policy, [tier], true);
  let numBefore = 0;
  return texts.map((text) => {
    simulation.run(prompt(text));
    const { numHitChunks } = simulation.result();
    const numHits = numHitChunks - numBefore;
    numBefore = numHitChunks;
    return numHits;
  });
}
