import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readGgufInfo, synthesizeModel } from "../../../src/models/index.ts";
import { synthFamilies } from "../../../src/models/synth-name.ts";
import { STATE_PARTIAL_ONLY } from "../../../src/engine/llama/bindings.ts";
import { FamilyContext, promptOf } from "./family-context.ts";

const directory = mkdtempSync(join(tmpdir(), "warmkv-families-"));
afterAll(() => rmSync(directory, { recursive: true }));

const CHUNK = 256;
const NUM_TOKENS = 16;
/** Rounding stays a hundred times below. */
const CLEAR_DIFFERENCE = 0.1;
/** What llama.cpp writes around a state. */
const MAX_HEADER_BYTES = 1024;

describe.each(synthFamilies())("a random %s model", (family) => {
  it("loads, answers the same twice, depends on the whole prompt and has the memory it says", async () => {
    const path = join(directory, `${family}.gguf`);
    await synthesizeModel({ family, numParams: 1e6, type: "f32", path });
    using model = new FamilyContext(path);
    const prompt = promptOf(3 * CHUNK, 1);
    const first = model.generate(prompt, NUM_TOKENS);
    expect(first.promptLogits.every(Number.isFinite)).toBe(true);
    expect(deviationOf(first.promptLogits)).toBeGreaterThan(1);
    expect(new Set(first.tokens).size).toBeGreaterThan(1);

    const info = await readGgufInfo(path);
    if (info.stateBytes !== undefined && info.stateBytes > 0) {
      const headerBytes = model.context.stateBytes(0, STATE_PARTIAL_ONLY) - info.stateBytes;
      expect(headerBytes).toBeGreaterThan(0);
      expect(headerBytes).toBeLessThan(MAX_HEADER_BYTES);
    }

    expect(model.generate(prompt, NUM_TOKENS)).toEqual(first);

    for (const chunk of [0, 1]) {
      const changed = [...prompt];
      changed.splice(chunk * CHUNK, CHUNK, ...promptOf(CHUNK, 2 + chunk));
      const { promptLogits } = model.generate(changed, 0);
      expect(largestDifference(promptLogits, first.promptLogits)).toBeGreaterThan(CLEAR_DIFFERENCE);
    }
  });
});

function deviationOf(numbers: Float32Array): number {
  const mean = numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
  return Math.sqrt(numbers.reduce((sum, each) => sum + (each - mean) ** 2, 0) / numbers.length);
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((largest, each, i) => Math.max(largest, Math.abs(each - b[i]!)), 0);
}
