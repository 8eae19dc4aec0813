import { afterAll, beforeAll, expect, test } from "vitest";
import { VALUE_HEADER_BYTES } from "../../src/cache-server/value.ts";
import { KiB, MiB, silentLogger, systemClock } from "../../src/core/index.ts";
import { openLmRemote } from "../../src/remotes/lm/index.ts";
import { promptOf } from "../../src/simulate/prompt.ts";
import { SimulatedTier } from "../../src/simulate/simulated-tier.ts";
import { createPolicy } from "../../src/tiers/index.ts";
import { CacheServerProcess } from "./cache-server-process.ts";

const POOL_BYTES = 64 * MiB;
/** What the process may take beside its pool. */
const ALLOWANCE_BYTES = 100_000_000;
/** What each takes of the pool. */
const ROOM_BYTES = 128 * KiB;
const NUM_ROOMS = POOL_BYTES / ROOM_BYTES;
const NUM_CLIENTS = 16;
/** More of them take longer: 10,000 are some seconds. */
const NUM_REQUESTS = Number(process.env["WARMKV_TEST_REQUESTS"] ?? 10_000);

let server: CacheServerProcess;
beforeAll(async () => {
  server = await CacheServerProcess.start("--port", "0", "--max-local-cpu-size", `${POOL_BYTES}b`);
});
afterAll(() => server.stop("SIGKILL"));

test("a cache server that is asked for ten times what it holds keeps its bound, and hits as the simulator says", async () => {
  const pick = picker(10 * NUM_ROOMS);
  const simulated = new SimulatedTier("simulated", NUM_ROOMS, createPolicy("LRU"));
  let numAsked = 0;
  let numHits = 0;
  const simulate = (number: number): void => {
    const prompt = promptOf(
      { timestampMs: 0, numInputTokens: 1, numOutputTokens: 0, blocks: [number] },
      1,
    );
    if (simulated.serve(prompt, 0) === 0) simulated.store(prompt, 0, 1);
  };

  await Promise.all(
    Array.from({ length: NUM_CLIENTS }, async () => {
      await using store = openLmRemote(`lm://127.0.0.1:${server.port}`, {
        timeoutMs: 30_000,
        maxConnections: 1,
        logger: silentLogger,
        clock: systemClock,
        random: Math.random,
      });
      const call = { signal: new AbortController().signal, priority: "get" } as const;
      const memory = Buffer.alloc(ROOM_BYTES - VALUE_HEADER_BYTES);
      while (numAsked < NUM_REQUESTS) {
        const number = pick();
        numAsked++;
        simulate(number);
        const name = `value ${number}`;
        if ((await store.get(name, () => memory, call)) !== undefined) {
          numHits++;
          expect(memory.readInt32LE()).toBe(number);
          continue;
        }
        memory.writeInt32LE(number);
        await store.put(name, memory, call);
      }
    }),
  );

  expect(server.peakResidentBytes).toBeLessThan(POOL_BYTES + ALLOWANCE_BYTES);
  const hitRate = numHits / numAsked;
  expect(hitRate).toBeGreaterThan(0.2);
  expect(Math.abs(hitRate - simulated.counts.numHits / numAsked)).toBeLessThan(0.02);
});

/** Numbers below `numValues`, the n-th as often as n to the power of -0.8, the same ones each time. */
function picker(numValues: number): () => number {
  const shares: number[] = [];
  let total = 0;
  for (let rank = 1; rank <= numValues; rank++) shares.push((total += rank ** -0.8));
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    const share = (state / 2 ** 32) * total;
    let low = 0;
    let high = numValues - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (shares[middle]! < share) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
