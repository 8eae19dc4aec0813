import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { gpuLayers, kvCacheType } from "../../../src/cli/flags.ts";
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
