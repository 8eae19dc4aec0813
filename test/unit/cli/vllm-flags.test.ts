import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { gpuLayers, hyphenated, kvCacheType, tokenCount } from "../../../src/cli/flags.ts";
import { serveCommand } from "../../../src/cli/serve.ts";
import { addVllmFlags, describeIgnoredFlags } from "../../../src/cli/vllm-flags.ts";
import { UsageError } from "../../../src/core/index.ts";
import { KV_TYPES } from "../../../src/engine/llama/bindings.ts";

/** What is said about the flags of a `vllm serve` command line. */
function ignored(...flags: string[]): string | undefined {
  const command = addVllmFlags(new Command().exitOverride());
  command.parse(flags, { from: "user" });
  return describeIgnoredFlags(command);
}

describe("flags of vLLM", () => {
  it("that mean nothing here are taken, and named in one line", () => {
    expect(ignored()).toBeUndefined();
    const line = ignored(
      "--tensor-parallel-size=1",
      "--gpu-memory-utilization=0.9",
      "--dtype=auto",
      "--trust-remote-code",
      "--swap-space=4",
      "--enforce-eager",
      "--disable-log-requests",
    );
    expect(line).toMatch(/^Without effect here: --tensor-parallel-size \(one engine .*\), /);
    expect(line).not.toContain("\n");
    for (const flag of ["--gpu-memory-utilization", "--dtype", "--trust-remote-code"]) {
      expect(line).toContain(`${flag} (`);
    }
    expect(ignored("--no-enable-log-requests")).toContain(" --no-enable-log-requests (");
    expect(ignored("--enable-log-requests")).not.toContain("--no-");
  });

  it.each([
    [
      ["--tensor-parallel-size", "2"],
      /^Cannot use --tensor-parallel-size 2: one engine .* wanted 1/,
    ],
    [["--dtype", "int4"], /wanted auto, half, float16/],
    [["--quantization", "awq"], /a GGUF file says itself .* wanted gguf/],
  ])("that ask for the impossible are refused: %j", (flags, message) => {
    expect(() => ignored(...flags)).toThrow(UsageError);
    expect(() => ignored(...flags)).toThrow(message);
  });

  it("are part of warmkv serve, and not of its help", () => {
    const command = serveCommand();
    const names = command.options.map(({ long }) => long);
    expect(names).toContain("--tensor-parallel-size");
    expect(new Set(names).size).toBe(names.length);
    expect(command.helpInformation()).not.toContain("tensor-parallel");
  });
});

describe("gpuLayers()", () => {
  it("takes a number, auto or all", () => {
    expect(["0", "33", "auto", "all"].map(gpuLayers)).toEqual([0, 33, "auto", "all"]);
    for (const wrong of ["", "-1", "1.5", "some", "99999"]) {
      expect(() => gpuLayers(wrong), wrong).toThrow(UsageError);
    }
  });
});

describe("kvCacheType()", () => {
  it("takes every type that the engine knows, and vLLM's names", () => {
    for (const type of Object.keys(KV_TYPES)) expect(kvCacheType(type)).toBe(type);
    expect(kvCacheType("auto")).toBeUndefined();
    expect([kvCacheType("float16"), kvCacheType("bfloat16")]).toEqual(["f16", "bf16"]);
    expect(() => kvCacheType("fp8")).toThrow(/wanted auto, .* q8_0 is what comes nearest/);
    expect(() => kvCacheType("q9")).toThrow(UsageError);
  });
});

describe("hyphenated()", () => {
  it("takes underscores in the names of flags, and leaves all else alone", () => {
    const argv = ["serve", "my_model", "--max_num_seqs", "4", "--served_model_name=a_b", "-x_y"];
    const read = "serve my_model --max-num-seqs 4 --served-model-name=a_b -x_y".split(" ");
    expect(hyphenated(argv)).toEqual(read);
  });
});

describe("tokenCount()", () => {
  const read = tokenCount("--max-model-len", 1, 2 ** 31 - 1);

  it.each([
    ["8192", 8192],
    ["8k", 8000],
    ["8K", 8192],
    ["25.6k", 25_600],
    ["1M", 2 ** 20],
  ])("reads %s", (text, count) => expect(read(text)).toBe(count));

  it.each(["", "k", "8.5", "-1", "8kk", "3G", "1e3", "0"])("refuses %j", (text) => {
    expect(() => read(text)).toThrow(/^Cannot use --max-model-len ".*": wanted a whole number/);
  });
});
