import { afterAll, beforeAll, expect, test } from "vitest";
import { VALUE_HEADER_BYTES } from "../../src/cache-server/value.ts";
import { KiB, MiB, formatBytes, silentLogger, systemClock } from "../../src/core/index.ts";
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
/** Some seconds. */
const MIN_REQUESTS = 10_000;
/** Go on for at least so long. */
const MIN_SECONDS = Number(process.env["WARMKV_TEST_SECONDS"] ?? 0);

let server: CacheServerProcess;
beforeAll(async () => {
  server = await CacheServerProcess.start("--port", "0", "--max-local-cpu-size", `${POOL_BYTES}b`);
});
afterAll(() => server.stop("SIGKILL"));

test(
  "a cache server that is asked for ten times what it holds keeps its bound, and hits as the simulator says",
  async ({ annotate }) => {
    const startedMs = performance.now();
    const secondsSoFar = (): number => (performance.now() - startedMs) / 1000;
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
          // Longer than the machine may stand still in a run of minutes.
          timeoutMs: 300_000,
          maxConnections: 1,
          logger: silentLogger,
          clock: systemClock,
          random: Math.random,
        });
        const call = { signal: new AbortController().signal, priority: "get" } as const;
        const memory = Buffer.alloc(ROOM_BYTES - VALUE_HEADER_BYTES);
        while (numAsked < MIN_REQUESTS || secondsSoFar() < MIN_SECONDS) {
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

    const { peakResidentBytes } = server;
    const hitRate = numHits / numAsked;
    const simulatedHitRate = simulated.counts.numHits / numAsked;
    await annotate(
      `${numAsked} requests in ${secondsSoFar().toFixed(0)} s, at most ${formatBytes(peakResidentBytes)} resident, ` +
        `hit rate ${hitRate.toFixed(4)}, simulated ${simulatedHitRate.toFixed(4)}`,
    );
    expect(peakResidentBytes).toBeLessThan(POOL_BYTES + ALLOWANCE_BYTES);
    expect(hitRate).toBeGreaterThan(0.2);
    expect(Math.abs(hitRate - simulatedHitRate)).toBeLessThan(0.02);
  },
  300_000 + 1000 * MIN_SECONDS,
);

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
