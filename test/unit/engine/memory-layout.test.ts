import { describe, expect, test } from "vitest";
import { LlamaBatch } from "../../../src/engine/llama/batch.ts";
import type { LlamaContext } from "../../../src/engine/llama/context.ts";
import { detectMemoryLayout, partBytes } from "../../../src/engine/llama/memory-layout.ts";
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
  const metadata = (): unknown => answers["architecture"];
  return { functions, native: 1n, metadata } as unknown as LlamaModel;
}

/** @param sizes bytes of a sequence of n tokens, whole and PARTIAL_ONLY */
function contextOf(
  sizes: (numTokens: number) => readonly [full: number, partial: number],
): LlamaContext {
  const batch = new LlamaBatch(256);
  let numTokens = 0;
  return {
    batch,
    numCells: 4096,
    scratchSequence: 3,
    decode: () => ((numTokens += batch.numTokens), 0),
    removeRange: () => ((numTokens = 0), true),
    stateBytes: (_sequence: number, flags: number) => sizes(numTokens)[flags]!,
  } as unknown as LlamaContext;
}

/** Of a cache of keys and values. */
const cacheBytes = (numTokens: number): number => (numTokens === 0 ? 0 : 56 + numTokens * 1036);
const WINDOW = 128;

describe("detectMemoryLayout()", () => {
  test("measures what a token of a dense model takes, with one cache and with two", () => {
    const one = contextOf((n) => [16 + cacheBytes(n), 16 + cacheBytes(n)]);
    const layout = detectMemoryLayout(modelOf({}), one);
    expect(layout).toMatchObject({ kind: "dense", unsupportedReason: undefined, windowTokens: 0 });
    expect(partBytes(layout.tokenPart, 256)).toBe(72 + 256 * 1036);
    expect(partBytes(layout.statePart, 256)).toBe(0);
    const two = contextOf((n) => [24 + 2 * cacheBytes(n), 24 + 2 * cacheBytes(n)]);
    const withIndexer = detectMemoryLayout(modelOf({}), two);
    expect(withIndexer.kind).toBe("dense");
    expect(partBytes(withIndexer.tokenPart, 256)).toBe(24 + 2 * cacheBytes(256));
  });

  test("counts the tokens of a window in the state part, up to its length", () => {
    const context = contextOf((n) => [24 + 2 * cacheBytes(n), 16 + cacheBytes(n)]);
    const layout = detectMemoryLayout(modelOf({ llama_model_n_swa: WINDOW }), context);
    expect(layout).toMatchObject({ kind: "window", windowTokens: WINDOW });
    expect(partBytes(layout.tokenPart, 256)).toBe(24 + cacheBytes(256));
    expect(partBytes(layout.statePart, 100)).toBe(16 + cacheBytes(100));
    expect(partBytes(layout.statePart, 5000)).toBe(16 + cacheBytes(WINDOW));
  });

  test.each([8, 16])("takes the state of a hybrid model out of its chunks (%d)", (numBytes) => {
    const state = (n: number): number => (n === 0 ? 92 : 9000);
    const context = contextOf((n) => [state(n) + numBytes + cacheBytes(n), state(n)]);
    const layout = detectMemoryLayout(modelOf({ llama_model_is_hybrid: true }), context);
    expect(layout.kind).toBe("hybrid");
    expect(partBytes(layout.tokenPart, 256)).toBe(92 + numBytes + cacheBytes(256));
    expect(partBytes(layout.statePart, 5000)).toBe(9000);
  });

  test("finds no chunks in a recurrent model", () => {
    const context = contextOf((n) => (n === 0 ? [212, 212] : [5000, 5000]));
    const layout = detectMemoryLayout(modelOf({ llama_model_is_recurrent: true }), context);
    expect(layout.kind).toBe("recurrent");
    expect(partBytes(layout.tokenPart, 256)).toBe(0);
    expect(partBytes(layout.statePart, 5000)).toBe(5000);
  });

  test("measures how a sequence that cannot be cut grows, with room to spare", () => {
    const bytesAt = (n: number): number =>
      82_376 + Math.min(n, WINDOW) * 500 + Math.ceil(n / 4) * 100;
    const context = contextOf((n) => [bytesAt(n), bytesAt(n) - 164]);
    const answers = { architecture: "deepseek4", llama_model_is_hybrid: true };
    const layout = detectMemoryLayout(modelOf(answers), context);
    expect(layout.kind).toBe("blob");
    expect(partBytes(layout.tokenPart, 256)).toBe(0);
    for (const n of [1, 100, 1000, 30_000]) {
      expect(partBytes(layout.statePart, n)).toBeGreaterThanOrEqual(bytesAt(n));
    }
  });

  test.each([
    [{ llama_model_has_encoder: true }, [16, 16], "it has an encoder"],
    [{ llama_model_is_diffusion: true }, [16, 16], "it is a diffusion model"],
    [{}, [24, 16], "the layout of its memory is not known (24/16)"],
    [{}, [32, 32], "the layout of its memory is not known (32/32)"],
    [{ llama_model_n_swa: 512 }, [16, 16], "the layout of its memory is not known (16/16)"],
    [{ llama_model_n_swa: 512 }, [24, 24], "the layout of its memory is not known (24/24)"],
    [{ llama_model_is_recurrent: true }, [98, 90], "the layout of its memory is not known (98/90)"],
    [{ llama_model_is_hybrid: true }, [90, 90], "the layout of its memory is not known (90/90)"],
    [{ llama_model_is_hybrid: true }, [16, 16], "the layout of its memory is not known (16/16)"],
    [
      { llama_model_is_hybrid: true, llama_model_n_swa: 512 },
      [106, 98],
      "the layout of its memory is not known (106/98)",
    ],
    [
      { llama_model_is_hybrid: true },
      [82_376, 82_212],
      "the layout of its memory is not known (82376/82212)",
    ],
  ] as const)("says why KV of %j with sizes %j cannot be moved", (answers, sizes, reason) => {
    expect(
      detectMemoryLayout(
        modelOf(answers),
        contextOf(() => sizes),
      ),
    ).toMatchObject({
      kind: "unsupported",
      unsupportedReason: reason,
    });
  });
});
