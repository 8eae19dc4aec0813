import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { synthesizeModel } from "../../../src/models/index.ts";
import {
  type TestEngine,
  answer,
  expectSameUpToRounding,
  openEngine,
  promptOf,
} from "../engine/engines.ts";
import { FLAVOURS, missing } from "../redis/programs.ts";
import { RedisServer } from "../redis/redis-server.ts";
import { CacheServerProcess } from "./cache-server-process.ts";

const directory = mkdtempSync(join(tmpdir(), "warmkv-state-parts-"));
afterAll(() => rmSync(directory, { recursive: true }));

const NUM_TOKENS = 1100;
const NUM_SHARED_TOKENS = 700;
/** A state that is lost moves logits by 2 to 14. */
const ROUNDING = 0.01;

/**
 * Of each kind of state: the window of attention, that of a hybrid, that of a model with nothing else, and all of a
 * sequence in one piece. Each is longer than a chunk.
 */
const FAMILIES = ["gemma3", "qwen35", "granite-hybrid", "mamba2", "deepseek4"] as const;

interface Store extends AsyncDisposable {
  readonly url: string;
}

async function cacheServer(): Promise<Store> {
  const server = await CacheServerProcess.start();
  return {
    url: `lm://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

const flavour = FLAVOURS.find((each) => !missing(each).isMissing) ?? "redis";

async function redis(): Promise<Store> {
  const server = await RedisServer.start({ flavour });
  return {
    url: `redis://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** As two processes would: each has an engine, a pool and connections of its own. */
async function expectShared(family: string, openStore: () => Promise<Store>): Promise<void> {
  const model = join(directory, `${family}.gguf`);
  await synthesizeModel({ family, numParams: 1e6, type: "f32", path: model });
  const first = promptOf(NUM_TOKENS, 1);
  const branch = (seed: number): Int32Array =>
    Int32Array.from([...first.subarray(0, NUM_SHARED_TOKENS), ...promptOf(300, seed)]);
  const prompts = [first, branch(2), branch(3)];
  const open = (remoteUrl?: string): Promise<TestEngine> =>
    openEngine({
      model,
      numCells: 8192,
      cacheOptions: remoteUrl === undefined ? undefined : { maxLocalCpuSize: "64MiB", remoteUrl },
    });
  const ask = async ({ engine }: TestEngine, index: number): ReturnType<typeof answer> =>
    answer(engine, prompts[index]!, { maxTokens: 6 });

  const expected: Awaited<ReturnType<typeof answer>>[] = [];
  {
    await using plain = await open();
    for (const index of prompts.keys()) expected.push(await ask(plain, index));
  }
  await using store = await openStore();
  await using one = await open(store.url);
  await using other = await open(store.url);
  const expectAnswer = async (engine: TestEngine, index: number): Promise<number> => {
    const given = await ask(engine, index);
    expect(given.tokens).toEqual(expected[index]!.tokens);
    expectSameUpToRounding(given, expected[index]!, ROUNDING);
    await engine.cache!.flush();
    return given.numCachedTokens;
  };

  expect(await expectAnswer(one, 0)).toBe(0);
  expect(await expectAnswer(other, 0)).toBe(NUM_TOKENS - 1);
  // The first to branch off leaves a state there, which the next one finds wherever it is asked.
  await expectAnswer(one, 1);
  expect(await expectAnswer(other, 2)).toBe(512);
  for (const { cache } of [one, other]) {
    expect(cache!.stats().tiers["RemoteBackend"]!.numDamaged).toBe(0);
  }
}

describe.each(FAMILIES)("two engines with a %s model", (family) => {
  test("share chunks and states through a cache server", () => expectShared(family, cacheServer));

  const { isMissing, note } = missing(flavour);
  test.skipIf(isMissing)(`share them through ${flavour}${note}`, () => expectShared(family, redis));
});
