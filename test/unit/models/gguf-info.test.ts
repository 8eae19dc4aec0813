import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readGgufInfo } from "../../../src/models/gguf-info.ts";
import { kvBytesPerToken, stateBytes } from "../../../src/models/kv-size.ts";
import { layerKinds, type NumbersAt } from "../../../src/models/layer-kinds.ts";
import { synthesizeModel } from "../../../src/models/synth.ts";
import { useTemporaryDirectory } from "./temporary-directory.ts";
import { count, floatTensor, writeTinyModel } from "./tiny-model.ts";

const directory = useTemporaryDirectory();
const pathOf = (name: string): string => join(directory.path, name);

describe("readGgufInfo()", () => {
  it("describes a synth model", async () => {
    const path = pathOf("1m.gguf");
    const { numParameters } = await synthesizeModel({ numParams: 1e6, path });
    expect(await readGgufInfo(path)).toMatchObject({
      name: "synth-1m",
      architecture: "llama",
      numParameters,
      numLayers: 2,
      embeddingLength: 256,
      numHeads: 8,
      numKvHeads: 1,
      contextLength: 131_072,
      fileType: "Q8_0",
      // 2 layers of keys and values, 64 numbers of 2 bytes each
      kvBytesPerToken: 512,
      hasChatTemplate: true,
      tokenizerModel: "gpt2",
      vocabularySize: 260,
      numFiles: 1,
    });
  });

  it("adds up the parts of a split model", async () => {
    await writeTinyModel(pathOf("m-00001-of-00002.gguf"));
    await writeTinyModel(pathOf("m-00002-of-00002.gguf"), {
      metadata: [],
      tensors: [floatTensor("c", [1, 2, 3, 4, 5])],
    });
    const info = await readGgufInfo(pathOf("m-00002-of-00002.gguf"));
    expect(info).toMatchObject({ architecture: "llama", numParameters: 9, numFiles: 2 });
  });

  it("leaves open what the file does not say", async () => {
    await writeTinyModel(pathOf("m.gguf"), { metadata: [["general.file_type", count(999)]] });
    expect(await readGgufInfo(pathOf("m.gguf"))).toMatchObject({
      name: undefined,
      architecture: undefined,
      numLayers: undefined,
      fileType: "type 999",
      kvBytesPerToken: undefined,
      hasChatTemplate: false,
      vocabularySize: undefined,
    });
  });
});

const numbersOf =
  (values: Readonly<Record<string, number | readonly number[]>>): NumbersAt =>
  (key) => {
    const value = values[key];
    return value === undefined ? undefined : [value].flat();
  };

describe("kvBytesPerToken()", () => {
  const of = (values: Record<string, number | readonly number[]>, architecture = "llama") => {
    const numbersAt = numbersOf(values);
    return kvBytesPerToken(architecture, layerKinds(architecture, numbersAt), numbersAt);
  };

  it.each([
    [
      "Llama 3 8B",
      {
        block_count: 32,
        embedding_length: 4096,
        "attention.head_count": 32,
        "attention.head_count_kv": 8,
      },
      131_072,
    ],
    [
      "heads without groups",
      { block_count: 2, embedding_length: 64, "attention.head_count": 4 },
      512,
    ],
    [
      "latent attention: DeepSeek V3",
      {
        block_count: 61,
        embedding_length: 7168,
        "attention.head_count": 128,
        "attention.head_count_kv": 1,
        "attention.key_length": 576,
        "attention.value_length": 512,
        "attention.key_length_mla": 192,
      },
      61 * 576 * 2,
    ],
    [
      "one layer of four has attention: Qwen3-Next",
      {
        block_count: 48,
        embedding_length: 2048,
        "attention.head_count": 16,
        "attention.head_count_kv": 2,
        "attention.key_length": 256,
        "attention.value_length": 256,
        full_attention_interval: 4,
      },
      24_576,
    ],
    [
      "a list of recurrent layers",
      {
        block_count: 4,
        embedding_length: 256,
        "attention.head_count": 4,
        "attention.head_count_kv": 2,
        "attention.recurrent_layers": [1, 1, 1, 0],
        full_attention_interval: 2,
      },
      2 * 64 * 2 * 2,
    ],
    [
      "layers without KV heads: LFM2",
      {
        block_count: 4,
        embedding_length: 256,
        "attention.head_count": [4, 4, 4, 4],
        "attention.head_count_kv": [2, 0, 2, 0],
      },
      2 * 2 * 64 * 2 * 2,
    ],
    ["a model without attention", { block_count: 24, "attention.head_count": 0 }, 0],
  ])("counts %s", (_, metadata, numBytes) => {
    expect(of(metadata as unknown as Record<string, number>)).toBe(numBytes);
  });

  it("does not guess", () => {
    expect(of({})).toBeUndefined();
    expect(of({ block_count: 2, "attention.head_count": 4 })).toBeUndefined();
  });
});

describe("stateBytes()", () => {
  const of = (architecture: string, values: Record<string, number | readonly number[]>) => {
    const numbersAt = numbersOf(values);
    return stateBytes(architecture, layerKinds(architecture, numbersAt), numbersAt);
  };
  const MEBIBYTE = 1024 ** 2;

  // Sizes of state parts that llama.cpp wrote for layers of these dimensions.
  it.each([
    [
      "Qwen3-Next 80B",
      "qwen3next",
      {
        block_count: 48,
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 4096,
        "ssm.state_size": 128,
        "ssm.time_step_rank": 32,
        "ssm.group_count": 16,
      },
      75.38,
    ],
    [
      "Nemotron 3 Nano 30B",
      "nemotron_h",
      {
        block_count: 4,
        feed_forward_length: [0, 1856, 0, 0],
        "attention.head_count_kv": [0, 0, 2, 0],
        "ssm.conv_kernel": 4,
        "ssm.inner_size": 4096,
        "ssm.state_size": 128,
        "ssm.group_count": 8,
      },
      (47.62 * 2) / 23,
    ],
  ])("is that of %s", (_, architecture, values, wantedMebibytes) => {
    const bytes = of(architecture, values as unknown as Record<string, number>)!;
    expect(bytes / MEBIBYTE).toBeCloseTo(wantedMebibytes, 1);
  });

  it("is nothing where all layers have KV", () => {
    expect(of("llama", { block_count: 2 })).toBe(0);
  });

  it("does not guess", () => {
    expect(of("mamba", { block_count: 2, "ssm.conv_kernel": 4 })).toBeUndefined();
    expect(of("mamba", {})).toBeUndefined();
  });
});
