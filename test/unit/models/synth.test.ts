import { createHash } from "node:crypto";
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UsageError, decodeFloat16 } from "../../../src/core/index.ts";
import { readGguf } from "../../../src/models/gguf-reader.ts";
import { numElementsOf } from "../../../src/models/gguf.ts";
import { synthesizeModel } from "../../../src/models/synth.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";

const directory = useTemporaryDirectory();
const pathOf = (name: string): string => join(directory.path, name);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Rows of 256 columns: 8 blocks of a scale and 32 numbers each. */
const ROW_BYTES = 8 * 34;
const isReadable = (token: number): boolean => (token >= 0x20 && token <= 0x7e) || token === 10;

describe("synthesizeModel()", () => {
  // A change here is a new model under an old name: count SYNTH_VERSION up.
  it("writes the same bytes for the same arguments, for ever", async () => {
    await synthesizeModel({ numParams: 1e6, path: pathOf("1m.gguf") });
    expect(sha256(await readFile(pathOf("1m.gguf")))).toBe(
      "c7f353b6739655140e612af6d7587f1ec31c5d05e043f40f938ff3f74a86d319",
    );
  });

  it("writes other bytes for another seed or size", async () => {
    const hashes = new Set<string>();
    for (const [numParams, seed] of [
      [1e6, 0],
      [1e6, 1],
      [1.5e6, 0],
    ] as const) {
      await synthesizeModel({ numParams, seed, path: pathOf("model.gguf") });
      const { dataOffset } = await readGguf(pathOf("model.gguf"));
      hashes.add(sha256((await readFile(pathOf("model.gguf"))).subarray(dataOffset)));
    }
    expect(hashes.size).toBe(3);
  });

  it("writes the same numbers as f32, four times as large", async () => {
    await synthesizeModel({ numParams: 1e6, path: pathOf("q8.gguf") });
    await synthesizeModel({ numParams: 1e6, path: pathOf("f32.gguf"), type: "f32" });
    const [quantized, full] = [
      await readGguf(pathOf("q8.gguf")),
      await readGguf(pathOf("f32.gguf")),
    ];
    const [bytes, numbers] = [
      await readFile(pathOf("q8.gguf")),
      await readFile(pathOf("f32.gguf")),
    ];
    for (const name of ["blk.1.ffn_up.weight", "output.weight"]) {
      const from =
        quantized.dataOffset + quantized.tensors.find((each) => each.name === name)!.offset;
      const to = full.dataOffset + full.tensors.find((each) => each.name === name)!.offset;
      for (const at of [0, 31, 32, 5000]) {
        const block = from + Math.floor(at / 32) * 34;
        const value =
          decodeFloat16(bytes.readUInt16LE(block)) * bytes.readInt8(block + 2 + (at % 32));
        expect(numbers.readFloatLE(to + at * 4)).toBe(Math.fround(value));
      }
    }
  });

  it("writes as many parameters as it says", async () => {
    const { numParameters } = await synthesizeModel({ numParams: 3e6, path: pathOf("3m.gguf") });
    const { tensors } = await readGguf(pathOf("3m.gguf"));
    expect(tensors.reduce((sum, { shape }) => sum + numElementsOf(shape), 0)).toBe(numParameters);
  });

  it("has a token for each byte, in GPT-2's letters, and four control tokens", async () => {
    await synthesizeModel({ numParams: 1e6, path: pathOf("1m.gguf") });
    const { metadata } = await readGguf(pathOf("1m.gguf"));
    const tokens = metadata.get("tokenizer.ggml.tokens")!.value as string[];
    expect(new Set(tokens).size).toBe(260);
    expect([0, 10, 32, 65, 126, 127, 160, 161, 173, 255].map((byte) => tokens[byte])).toEqual([
      "Ā",
      "Ċ",
      "Ġ",
      "A",
      "~",
      "ġ",
      "ł",
      "¡",
      "Ń",
      "ÿ",
    ]);
    const types = metadata.get("tokenizer.ggml.token_type")!.value as number[];
    expect(types.map((type, i) => (type === 3 ? tokens[i] : "")).filter(Boolean)).toEqual([
      "<|begin_of_text|>",
      "<|end_of_text|>",
      "<|im_start|>",
      "<|im_end|>",
    ]);
    expect(metadata.get("tokenizer.ggml.eot_token_id")?.value).toBe(tokens.indexOf("<|im_end|>"));
    expect(metadata.get("tokenizer.chat_template")?.value).toContain("add_generation_prompt");
  });

  it("gives logits to readable tokens only, and none calls for itself", async () => {
    await synthesizeModel({ numParams: 1e6, path: pathOf("1m.gguf") });
    const { tensors, dataOffset } = await readGguf(pathOf("1m.gguf"));
    const file = await readFile(pathOf("1m.gguf"));
    const rowsOf = (name: string): Uint8Array[] => {
      const start = dataOffset + tensors.find((tensor) => tensor.name === name)!.offset;
      return Array.from({ length: 260 }, (_, token) =>
        file.subarray(start + token * ROW_BYTES, start + (token + 1) * ROW_BYTES),
      );
    };
    const embeddings = rowsOf("token_embd.weight");
    for (const [token, row] of rowsOf("output.weight").entries()) {
      expect(row.some((byte) => byte !== 0)).toBe(isReadable(token));
      if (!isReadable(token)) continue;
      expect(row.subarray(2, 34)).toEqual(embeddings[token]!.subarray(2, 34));
      expect(row[1]! & 0x80).toBe(0x80);
      expect(row[35]! & 0x80).toBe(0);
    }
  });

  it("leaves nothing behind when it is aborted", async () => {
    const controller = new AbortController();
    const writing = synthesizeModel({
      numParams: 1e6,
      path: pathOf("1m.gguf"),
      onProgress: () => controller.abort(),
      signal: controller.signal,
    });
    await expect(writing).rejects.toThrow("aborted");
    expect(await readdir(directory.path)).toEqual([]);
  });

  it.each([-1, 0.5, 2 ** 32, Number.NaN])("refuses the seed %d", async (seed) => {
    const writing = synthesizeModel({ numParams: 1e6, path: pathOf("1m.gguf"), seed });
    await expect(writing).rejects.toThrow(UsageError);
  });
});
