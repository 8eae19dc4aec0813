import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { benchCommand } from "../../../src/cli/bench.ts";
import { scriptedServer, sendJson } from "./scripted-server.ts";

function run(...args: string[]): Promise<Command> {
  const program = new Command("warmkv").addCommand(benchCommand());
  return program.parseAsync(["bench", ...args], { from: "user" });
}

describe("warmkv bench query-twice", () => {
  test.each([
    [
      ["--prompt-tokens", "12x"],
      'Cannot use --prompt-tokens "12x": wanted a whole number from 32 to 1000000',
    ],
    [["--prompt-tokens", "31"], 'Cannot use --prompt-tokens "31": wanted a whole number from 32'],
    [["--repeat", "0"], 'Cannot use --repeat "0": wanted a whole number from 1'],
    [["--threads", "-1"], 'Cannot use --threads "-1": wanted a whole number from 1'],
    [["--plot", "ttft.pdf"], 'Cannot write the plot to "ttft.pdf"'],
    [["--url", "not a url"], 'Cannot use the URL "not a url"'],
    [["--url", "ftp://host/v1"], 'Cannot use the URL "ftp://host/v1"'],
    [["--url", "http://127.0.0.1:1", "--", "--seed", "1"], 'Cannot pass "--seed 1" on'],
    [["--url", "http://127.0.0.1:1/v1"], "Cannot ask http://127.0.0.1:1/v1 for its models"],
  ])("refuses %j in a sentence", async (args, sentence) => {
    await expect(run("query-twice", ...args)).rejects.toThrow(sentence);
  });
});

describe("warmkv bench throughput", () => {
  test.each([
    [["--clients", "1,x"], 'Cannot use --clients "x": wanted a whole number from 1 to 256'],
    [["--max-tokens", "1"], 'Cannot use --max-tokens "1": wanted a whole number from 2'],
    [["--prefill-tokens", "5"], 'Cannot use --prefill-tokens "5": wanted a whole number from 32'],
    [["--plot", "rates.pdf"], 'Cannot write the plot to "rates.pdf"'],
    [["--peer", "not a url"], 'Cannot use the URL "not a url"'],
    [["--peer", "http://127.0.0.1:1/v1"], "Cannot ask http://127.0.0.1:1/v1 for its models"],
    [["--url", "http://127.0.0.1:1", "--", "--seed", "1"], 'Cannot pass "--seed 1" on'],
  ])("refuses %j in a sentence", async (args, sentence) => {
    await expect(run("throughput", ...args)).rejects.toThrow(sentence);
  });

  test("refuses to compare a server with itself", async () => {
    await using server = await scriptedServer((_, response) =>
      sendJson(response, { data: [{ id: "m" }] }),
    );
    const both = run("throughput", "--url", server.url, "--peer", `${server.url}/v1`);
    await expect(both).rejects.toThrow(/^Cannot compare 127\.0\.0\.1:\d+ with itself$/);
  });
});
