import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { halfRowsFinder } from "../../../src/engine/llama/half-rows.ts";
import { detectMemoryLayout, partBytes } from "../../../src/engine/llama/memory-layout.ts";
import { synthesizeModel } from "../../../src/models/index.ts";
import { synthFamilies } from "../../../src/models/synth-name.ts";
import { FamilyContext, promptOf } from "./family-context.ts";

const directory = mkdtempSync(join(tmpdir(), "warmkv-half-rows-"));
afterAll(() => rmSync(directory, { recursive: true }));

const NUM_TOKENS = 40;
/** Dense, with a second cache beside the one of keys and values. */
const WITH_TWO_CACHES = ["deepseek32", "glm-dsa", "minimax-m3"];

it.each(synthFamilies())(
  "%s: where the engine says that there are half-precision rows, there are",
  async (family) => {
    const path = join(directory, `${family}.gguf`);
    await synthesizeModel({ family, numParams: 1e6, type: "f32", path });
    using model = new FamilyContext(path);
    const layout = detectMemoryLayout(model.model, model.context);
    const find = halfRowsFinder(layout, "f16");
    expect(find !== undefined).toBe(layout.kind === "dense" && !WITH_TWO_CACHES.includes(family));
    if (find === undefined) return;
    model.decode(promptOf(NUM_TOKENS, 1), 0);
    const part = Buffer.alloc(partBytes(layout.tokenPart, NUM_TOKENS));
    expect(model.context.readState(0, 0, part, part.length)).toBe(part.length);
    const rows = find(part)!;
    const numBytes = rows.reduce((sum, { start, end }) => sum + end - start, 0);
    expect(rows.every(({ start, end, rowBytes }) => end - start === rowBytes * NUM_TOKENS)).toBe(
      true,
    );
    // All but the positions and the heads of records.
    expect(numBytes).toBeGreaterThan(0.8 * part.length);
  },
);
