import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { answer, expectSameUpToRounding, openEngine, promptOf } from "../engine/engines.ts";

const NUM_TOKENS = 1200;

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), "warmkv-int8-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** What a cold engine answers and what one that has loaded the KV does, and the bytes that the store then has. */
async function serveTwice(
  remoteSerde: string,
): Promise<{ cold: Awaited<ReturnType<typeof answer>>; warm: typeof cold; numBytes: number }> {
  const folder = path.join(directory, remoteSerde);
  const cacheOptions = { remoteUrl: `fs://${folder}`, remoteSerde, maxLocalCpuSize: "64MiB" };
  const ask = async (): ReturnType<typeof answer> => {
    await using opened = await openEngine({ cacheOptions });
    const given = await answer(opened.engine, promptOf(NUM_TOKENS), { maxTokens: 4 });
    await opened.cache!.flush();
    return given;
  };
  const [cold, warm] = [await ask(), await ask()];
  const names = (await readdir(folder)).filter((name) => name.endsWith(".kv"));
  const sizes = await Promise.all(
    names.map(async (name) => (await stat(path.join(folder, name))).size),
  );
  return { cold, warm, numBytes: sizes.reduce((sum, size) => sum + size, 0) };
}

test("remote_serde int8: half the bytes, and an answer that is the same up to what the lost bits change", async () => {
  const exact = await serveTwice("naive");
  const lossy = await serveTwice("int8");
  expect(lossy.cold).toEqual(exact.cold);
  expect(exact.warm.numCachedTokens).toBe(NUM_TOKENS - 1);
  expect(lossy.warm.numCachedTokens).toBe(NUM_TOKENS - 1);
  expectSameUpToRounding(lossy.warm, lossy.cold, 0.1);
  expect(lossy.warm.logprobs).not.toEqual(lossy.cold.logprobs);
  // Headers are a page each and are not shortened.
  expect(lossy.numBytes / exact.numBytes).toBeLessThan(0.6);
});
