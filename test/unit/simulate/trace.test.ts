import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UsageError } from "../../../src/core/index.ts";
import { generateTrace, readTrace, type TraceRequest } from "../../../src/simulate/index.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "warmkv-trace-"));
});
afterAll(() => rm(directory, { recursive: true }));

async function readLines(...lines: readonly string[]): Promise<TraceRequest[]> {
  const file = join(directory, "trace.jsonl");
  await writeFile(file, lines.join("\n"));
  return readAll(file);
}

async function readAll(file: string): Promise<TraceRequest[]> {
  const requests: TraceRequest[] = [];
  for await (const request of readTrace(file, 512)) requests.push(request);
  return requests;
}

const LINE = '{"timestamp": 27, "input_length": 600, "output_length": 52, "hash_ids": [46, 2353]}';

describe("readTrace()", () => {
  it("reads a request from each line and passes over empty ones", async () => {
    const request = {
      timestampMs: 27,
      numInputTokens: 600,
      numOutputTokens: 52,
      blocks: [46, 2353],
    };
    expect(await readLines(LINE, "", "  ", LINE, "")).toEqual([request, request]);
    expect(await readLines("")).toEqual([]);
  });

  it.each([
    ["no JSON", "{", "Cannot read the line as JSON"],
    ["another value", "[1]", "wanted an object, got [1]"],
    ["a missing field", LINE.replace("timestamp", "time"), 'wanted "timestamp" to be a number'],
    ["a negative number", LINE.replace("600", "-1"), 'wanted "input_length" to be a number from 0'],
    ["a text for a number", LINE.replace("52", '"x"'), 'wanted "output_length" to be a number'],
    ["ids that are no numbers", LINE.replace("46", '"a"'), 'wanted "hash_ids" to be a list'],
    ["ids with a fraction", LINE.replace("46", "4.5"), 'wanted "hash_ids" to be a list'],
    ["no ids", LINE.replace("[46, 2353]", "7"), 'wanted "hash_ids" to be a list'],
    ["ids of other blocks", LINE.replace("600", "1025"), "is the block size right?"],
  ])("names file and line of %s", async (_, line, message) => {
    const reading = readLines(LINE, "", line);
    await expect(reading).rejects.toThrow(UsageError);
    await expect(reading).rejects.toThrow("trace.jsonl:3: ");
    await expect(reading).rejects.toThrow(message);
  });

  it("says what is wrong with a file that is missing or a directory", async () => {
    await expect(readAll(join(directory, "none"))).rejects.toThrow(/Cannot read the trace.*ENOENT/);
    await expect(readAll(directory)).rejects.toThrow(/Cannot read the trace.*EISDIR/);
  });
});

describe("generateTrace()", () => {
  const generate = (seed: number, numRequests = 3000): TraceRequest[] => [
    ...generateTrace({ seed, numRequests, blockTokens: 512 }),
  ];

  it("makes up the same trace for the same seed", () => {
    expect(generate(5, 300)).toEqual(generate(5, 300));
    expect(generate(5, 300)).not.toEqual(generate(6, 300));
    expect(generate(5, 300)).toEqual(generate(5, 400).slice(0, 300));
  });

  it("gives each block one prefix only, and each prompt the blocks of its tokens", () => {
    const parents = new Map<number, number | undefined>();
    let numConflicts = 0;
    let lastMs = 0;
    for (const { blocks, numInputTokens, timestampMs } of generate(1)) {
      expect(blocks.length).toBe(Math.ceil(numInputTokens / 512));
      expect(timestampMs).toBeGreaterThanOrEqual(lastMs);
      lastMs = timestampMs;
      blocks.forEach((block, index) => {
        const parent = blocks[index - 1];
        if (parents.has(block) && parents.get(block) !== parent) numConflicts++;
        parents.set(block, parent);
      });
    }
    expect(numConflicts).toBe(0);
  });

  it("has conversations that go on, documents that are shared and about the rate it says", () => {
    const trace = generate(1);
    const seen = new Set<number>();
    let numHits = 0;
    let numContinued = 0;
    let numBlocks = 0;
    for (const { blocks } of trace) {
      const missing = blocks.findIndex((block) => !seen.has(block));
      const numHit = missing === -1 ? blocks.length : missing;
      numHits += numHit;
      numBlocks += blocks.length;
      if (numHit > 30) numContinued++;
      for (const block of blocks) seen.add(block);
    }
    expect(numHits / numBlocks).toBeGreaterThan(0.4);
    expect(numHits / numBlocks).toBeLessThan(0.65);
    expect(numContinued / trace.length).toBeGreaterThan(0.1);
    const requestsPerSecond = (1000 * trace.length) / trace.at(-1)!.timestampMs;
    expect(requestsPerSecond).toBeGreaterThan(2);
    expect(requestsPerSecond).toBeLessThan(4);
  });
});
