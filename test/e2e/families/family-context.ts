import { LlamaContext } from "../../../src/engine/llama/context.ts";
import { loadLlamaLibrary } from "../../../src/engine/llama/library.ts";
import { LlamaModel } from "../../../src/engine/llama/model.ts";

/** Prompts are computed in steps of so many tokens. */
const STEP_TOKENS = 256;

/** A model and one sequence of it, in this thread: one at a time, so equal steps give equal bits. */
export class FamilyContext implements Disposable {
  readonly context: LlamaContext;
  readonly model: LlamaModel;

  constructor(path: string) {
    const library = loadLlamaLibrary();
    this.model = new LlamaModel(library, { path, numGpuLayers: 0 });
    this.context = new LlamaContext(library, this.model, {
      numCells: 2048,
      numSequences: 1,
      numBatchTokens: STEP_TOKENS,
      numThreads: 1,
      kvType: "f16",
    });
  }

  /** @returns the logits of the last token */
  decode(tokens: readonly number[], start: number): Float32Array {
    const { batch } = this.context;
    for (let from = 0; from < tokens.length; from += STEP_TOKENS) {
      batch.clear();
      const step = tokens.slice(from, from + STEP_TOKENS);
      const isLast = from + step.length === tokens.length;
      for (const [i, token] of step.entries()) {
        batch.add(token, start + from + i, 0, isLast && i === step.length - 1);
      }
      const status = this.context.decode();
      if (status !== 0) throw new Error(`A forward pass failed with ${status}`);
    }
    return this.context.logits(batch.numTokens - 1);
  }

  /** Computes a prompt from nothing, then the likeliest tokens. */
  generate(
    prompt: readonly number[],
    numTokens: number,
  ): { readonly promptLogits: Float32Array; readonly tokens: number[] } {
    this.context.removeRange(0, -1, -1);
    const promptLogits = this.decode(prompt, 0);
    const tokens: number[] = [];
    let logits = promptLogits;
    while (tokens.length < numTokens) {
      const token = logits.indexOf(Math.max(...logits));
      tokens.push(token);
      logits = this.decode([token], prompt.length + tokens.length - 1);
    }
    return { promptLogits, tokens };
  }

  [Symbol.dispose](): void {
    this.context[Symbol.dispose]();
    this.model[Symbol.dispose]();
  }
}

/** Printable characters, the same for the same seed. */
export function promptOf(numTokens: number, seed: number): number[] {
  let state = seed;
  return Array.from({ length: numTokens }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return 0x20 + ((state >>> 8) % 95);
  });
}
