import { expect } from "vitest";
import {
  type TestAnswer,
  type TestEngine,
  answer,
  expectSameUpToRounding,
  openEngine,
  promptOf,
} from "../engine/engines.ts";

/** More of them take longer: `WARMKV_TEST_CLIENTS=8` is the whole form of these tests. */
export const NUM_CLIENTS: number = Number(process.env["WARMKV_TEST_CLIENTS"] ?? 2);
const PROMPT_TOKENS = 1_200;
/** The longest that a load may wait; a lookup waits no longer either. */
const LOAD_BUDGET_MS = 2_000;
/** Other work on the machine. */
const SLACK_MS = 2_000;
/** Requests side by side are computed in batches that differ from time to time: up to 0.15 without any cache. */
const TOLERANCE = 0.3;

interface TimedAnswer extends TestAnswer {
  readonly durationMs: number;
}

/** An engine that keeps nothing itself: each request needs the store. */
export function openEngineWith(remoteUrl: string): Promise<TestEngine> {
  return openEngine({
    cacheOptions: {
      localCpu: false,
      maxLocalCpuSize: "64MiB",
      remoteUrl,
      blockingTimeoutSecs: LOAD_BUDGET_MS / 1000,
    },
  });
}

/** Nothing leaks: with nothing under way every slab is home. */
export async function close(engine: TestEngine): Promise<void> {
  const { pool } = engine.cache!;
  await engine[Symbol.asyncDispose]();
  pool.assertAllFree();
}

/** Clients with a prompt each, who know the right answers and how long they take without any cache. */
export class Clients {
  readonly #prompts: readonly Int32Array[];
  readonly #expected: readonly TimedAnswer[];
  readonly #coldMs: number;

  private constructor(prompts: readonly Int32Array[], expected: readonly TimedAnswer[]) {
    this.#prompts = prompts;
    this.#expected = expected;
    this.#coldMs = Math.max(...expected.map(({ durationMs }) => durationMs));
  }

  static async start(): Promise<Clients> {
    const prompts = Array.from({ length: NUM_CLIENTS }, (_, seed) =>
      promptOf(PROMPT_TOKENS, seed + 1),
    );
    await using plain = await openEngine();
    return new Clients(prompts, await askAll(plain, prompts));
  }

  /** What each of them has in the store when all is well. */
  get numCachedWhenWarm(): number[] {
    return this.#prompts.map(() => PROMPT_TOKENS - 1);
  }
  get numCachedWhenCold(): number[] {
    return this.#prompts.map(() => 0);
  }

  /**
   * All requests are answered rightly, none of them much later than it would have been without a cache.
   *
   * @returns how many tokens of each came from the store
   */
  async ask(engine: TestEngine): Promise<number[]> {
    const answers = await askAll(engine, this.#prompts);
    for (const [client, each] of answers.entries()) {
      expectSameUpToRounding(each, this.#expected[client]!, TOLERANCE);
      expect(each.durationMs).toBeLessThan(2 * this.#coldMs + LOAD_BUDGET_MS + SLACK_MS);
    }
    return answers.map(({ numCachedTokens }) => numCachedTokens);
  }

  /** Without anything being restarted here, all of it comes from the store again, and nothing leaks. */
  async becomeWarm(engine: TestEngine): Promise<void> {
    const isWarm = async (): Promise<boolean> => {
      const answers = await askAll(engine, this.#prompts);
      await engine.cache!.flush();
      return answers.every(({ numCachedTokens }) => numCachedTokens === PROMPT_TOKENS - 1);
    };
    await expect.poll(isWarm, { timeout: 60_000, interval: 200 }).toBe(true);
    await expect.poll(() => engine.cache!.pool.usedBytes).toBe(0);
  }
}

async function askAll(
  { engine }: TestEngine,
  prompts: readonly Int32Array[],
): Promise<TimedAnswer[]> {
  return await Promise.all(
    prompts.map(async (prompt) => {
      const startedMs = performance.now();
      const answered = await answer(engine, prompt);
      return { ...answered, durationMs: performance.now() - startedMs };
    }),
  );
}
