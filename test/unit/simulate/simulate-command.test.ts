import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { simulateCommand } from "../../../src/cli/simulate.ts";
import { UsageError } from "../../../src/core/index.ts";

let directory: string;
let output: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-simulate-"));
  output = [];
  vi.spyOn(console, "log").mockImplementation((text: string) => void output.push(text));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(directory, { recursive: true });
});

async function run(...argv: readonly string[]): Promise<void> {
  await simulateCommand().parseAsync(argv, { from: "user" });
}

describe("warmkv simulate", () => {
  it("prints a table, and saves a report and a plot when asked", async () => {
    const trace = join(directory, "trace.jsonl");
    const json = join(directory, "out", "report.json");
    const plot = join(directory, "out", "plot.png");
    const line = { timestamp: 0, input_length: 30, output_length: 1, hash_ids: [1, 2] };
    await writeFile(trace, `${JSON.stringify(line)}\n`.repeat(4));
    const flags = [
      "--block-tokens",
      "16",
      "--bytes-per-token",
      "64",
      "--json",
      json,
      "--plot",
      plot,
    ];
    await run("--trace", trace, "--policy", "adaptive,LRU,lru", "--capacity", "1,2", ...flags);
    const lines = output[0]!.split("\n").map((each) => each.split(/ {2,}/));
    expect(lines[0]!.slice(0, 3)).toEqual(["policy", "cpu chunks", "hit %"]);
    expect(lines.slice(1).map((cells) => cells.slice(0, 3))).toEqual([
      ["ADAPTIVE", "1", "37.50"],
      ["LRU", "1", "37.50"],
      ["ADAPTIVE", "2", "75.00"],
      ["LRU", "2", "75.00"],
      ["BELADY", "1", "37.50"],
      ["INFINITE", "1", "75.00"],
      ["BELADY", "2", "75.00"],
      ["INFINITE", "2", "75.00"],
    ]);
    const report = JSON.parse(await readFile(json, "utf8")) as Record<string, unknown>;
    expect(report).toMatchObject({ blockTokens: 16, bytesPerToken: 64, savesUnfullChunk: true });
    expect((await readFile(plot)).subarray(1, 4).toString()).toBe("PNG");
  });

  it("simulates all policies on made-up traffic with a disk behind", async () => {
    const flags = ["--requests", "40", "--no-bounds", "--no-save-unfull-chunk"];
    await run("--trace", "synthetic", "--capacity", "100", "--disk-capacity", "500", ...flags);
    const policies = output[0]!.split("\n").map((line) => line.split(" ")[0]);
    expect(policies.slice(1)).toEqual([
      "LRU",
      "LFU",
      "FIFO",
      "MRU",
      "ADAPTIVE",
      "S3-FIFO",
      "ARC",
      "TINYLFU",
    ]);
  });

  it.each([
    ["a policy nobody knows", ["--policy", "best"], "Cannot simulate the policy"],
    ["a capacity of nothing", ["--capacity", "0"], 'Cannot use --capacity "0"'],
    ["a capacity that is no number", ["--capacity", "1k"], 'Cannot use --capacity "1k"'],
    ["a capacity twice", ["--disk-capacity", "5,5"], "wanted each number once"],
    ["a plot of another kind", ["--plot", "x.pdf"], "wanted a name that ends in .svg or .png"],
  ])("refuses %s before it simulates anything", async (_, flags, message) => {
    const running = run("--trace", "synthetic", "--requests", "100000000", ...flags);
    await expect(running).rejects.toThrow(UsageError);
    await expect(running).rejects.toThrow(message);
    expect(output).toEqual([]);
  });

  it("says which file it cannot read", async () => {
    const trace = join(directory, "none.jsonl");
    await expect(run("--trace", trace)).rejects.toThrow(`Cannot read the trace "${trace}"`);
  });
});
