import { describe, expect, test } from "vitest";
import { LlamaBatch } from "../../../src/engine/llama/batch.ts";
import type { LlamaContext } from "../../../src/engine/llama/context.ts";
import { detectMemoryLayout } from "../../../src/engine/llama/memory-layout.ts";
import type { LlamaModel } from "../../../src/engine/llama/model.ts";

/** What the real library answers for each kind of model; see the memory it builds for an empty sequence. */
function modelOf(answers: Record<string, unknown>): LlamaModel {
  const functions = {
    llama_model_has_encoder: () => false,
    llama_model_is_diffusion: () => false,
    llama_model_is_recurrent: () => false,
    llama_model_is_hybrid: () => false,
    llama_model_n_swa: () => 0,
    ...Object.fromEntries(Object.entries(answers).map(([name, value]) => [name, () => value])),
  };
  return { functions, native: 1n } as unknown as LlamaModel;
}

function contextOf(emptyBytes: readonly [full: number, partial: number]): LlamaContext {
  const batch = new LlamaBatch(8);
  let numTokens = 0;
  return {
    batch,
    scratchSequence: 3,
    decode: () => ((numTokens = batch.numTokens), 0),
    removeRange: () => ((numTokens = 0), true),
    stateBytes: (_sequence: number, flags: number) =>
      numTokens === 0 ? emptyBytes[flags]! : 16 + 8 + 24 * 2 + numTokens * 1036,
  } as unknown as LlamaContext;
}

describe("detectMemoryLayout()", () => {
  test("measures what a token of a dense model takes", () => {
    expect(detectMemoryLayout(modelOf({}), contextOf([16, 16]))).toEqual({
      kind: "dense",
      unsupportedReason: undefined,
      baseBytes: 72,
      tokenBytes: 1036,
    });
  });

  test.each([
    [{ llama_model_has_encoder: true }, [16, 16], "it has an encoder"],
    [{ llama_model_is_diffusion: true }, [16, 16], "it is a diffusion model"],
    [{ llama_model_is_recurrent: true }, [90, 90], "its layers are recurrent"],
    [{ llama_model_is_hybrid: true }, [98, 90], "some of its layers are recurrent"],
    [{ llama_model_n_swa: 512 }, [24, 16], "it has sliding-window attention"],
    [{}, [24, 24], "the layout of its memory is not known (24/24)"],
  ] as const)("says why KV of %j cannot be moved", (answers, emptyBytes, reason) => {
    expect(detectMemoryLayout(modelOf(answers), contextOf(emptyBytes))).toMatchObject({
      kind: "unsupported",
      unsupportedReason: reason,
    });
  });
});
