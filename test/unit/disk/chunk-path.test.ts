import fc from "fast-check";
import { expect, test } from "vitest";
import type { ChunkKey } from "../../../src/core/index.ts";
import {
  chunkFileName,
  chunkNamePrefix,
  parseChunkFileName,
} from "../../../src/tiers/disk/index.ts";

const key = "00112233445566778899aabbccddeeff" as ChunkKey;

test("a file is named by format, model, world size, worker and key", () => {
  const prefix = chunkNamePrefix({
    format: "warmkv",
    modelName: "Qwen/Qwen3-0.6B",
    worldSize: 2,
    workerId: 1,
  });
  expect(chunkFileName(prefix, key)).toBe(`warmkv@Qwen-Qwen3-0.6B@2@1@${key}.kv`);
});

test("any model name makes a name that is short, one path component, and can be read back", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 400 }),
      fc.string({ unit: "binary", maxLength: 60 }),
      (modelName, format) => {
        const prefix = chunkNamePrefix({ format, modelName, worldSize: 1, workerId: 0 });
        const name = chunkFileName(prefix, key);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(200);
        expect(name).toMatch(/^[\w.~-]+@[\w.~-]+@1@0@[0-9a-f]{32}\.kv$/);
        expect(parseChunkFileName(name)).toEqual({ prefix, key });
      },
    ),
    { numRuns: 50 },
  );
});

test("long model names that differ only at the end get different names", () => {
  const prefixes = ["a", "b"].map((end) =>
    chunkNamePrefix({
      format: "warmkv",
      modelName: "m".repeat(300) + end,
      worldSize: 1,
      workerId: 0,
    }),
  );
  expect(prefixes[0]).not.toBe(prefixes[1]);
});

test("chunkFileName() refuses what is not a key", () => {
  const bad = `../../${key.slice(6)}` as ChunkKey;
  expect(() => chunkFileName("warmkv@m@1@0@", bad)).toThrow(RangeError);
});

test("parseChunkFileName() knows only its own names", () => {
  for (const name of ["", "notes.txt", `${key}.kv`, `m@1@0@${key}.kv`, `vllm@m@1@0@${key}.pt`]) {
    expect(parseChunkFileName(name)).toBeUndefined();
  }
});
