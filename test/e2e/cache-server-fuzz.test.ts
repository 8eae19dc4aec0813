import { afterEach, beforeEach, expect, test } from "vitest";
import { type CacheServer, openCacheServer } from "../../src/cache-server/index.ts";
import { MiB } from "../../src/core/index.ts";
import { LM_COMMANDS, LM_EXTENSIONS, encodeLmNames } from "../../src/protocol/index.ts";
import { RawClient, frame, putFrame } from "../unit/cache-server/raw-client.ts";

/** More for those who have time: WARMKV_FUZZ_FRAMES=1000000. */
const NUM_FRAMES = Number(process.env["WARMKV_FUZZ_FRAMES"] ?? 20_000);
const SEED = Number(process.env["WARMKV_FUZZ_SEED"] ?? 1);
const NUM_CLIENTS = 8;
const MAX_FRAMES_OF_A_CLIENT = 200;
const POOL_BYTES = 16 * MiB;

const COMMANDS = [...Object.values(LM_COMMANDS), ...Object.values(LM_EXTENSIONS)];
const LENGTHS = [0, 0, 0, 1, 100, 4000, 5000, 2 ** 20, 2 ** 31 - 1, -1, -(2 ** 31)];

/** Numbers that are the same in every run. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** [0, below) */
  roll(below: number): number {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) | 0;
    return Math.floor(((this.#state >>> 8) / 2 ** 24) * below);
  }

  pick<T>(from: readonly T[]): T {
    return from[this.roll(from.length)]!;
  }

  bytes(length: number): Buffer {
    return Buffer.from(Array.from({ length }, () => this.roll(256)));
  }
}

/** One frame that may be anything from right to nonsense. */
function anyFrame(dice: Dice): Buffer {
  const kind = dice.roll(10);
  if (kind === 0) return dice.bytes(1 + dice.roll(400));
  if (kind === 1) return putFrame(`f${dice.roll(50)}`, dice.bytes(dice.roll(300)));
  if (kind === 2) return frame(dice.pick(["get", "exist", "list", "health"]), `f${dice.roll(50)}`);
  const head = Buffer.alloc(dice.pick([158, 182, 186, 186, 186]), dice.pick([0, 0x20, 0x61]));
  head.writeInt32LE(dice.roll(4) === 0 ? dice.roll(2 ** 31) : dice.pick(COMMANDS), 0);
  const length = dice.pick(LENGTHS);
  head.writeInt32LE(length, 4);
  for (let offset = 8; offset < 36; offset += 4) {
    head.writeInt32LE(dice.pick([0, 1, 2, 3, 64, -1, 2 ** 31 - 1]), offset);
  }
  for (let numFlips = dice.roll(3); numFlips > 0; numFlips--) {
    head[dice.roll(head.byteLength)]! ^= 1 << dice.roll(8);
  }
  const body =
    dice.roll(2) === 0
      ? dice.bytes(Math.min(Math.max(length, 0), 300))
      : encodeLmNames(Array.from({ length: dice.roll(5) }, () => `f${dice.roll(50)}`));
  return Buffer.concat([head, body]).subarray(0, dice.pick([10, 100, 186, 190, 1000]));
}

let server: CacheServer;
beforeEach(async () => {
  server = await openCacheServer({
    port: 0,
    maxLocalCpuSizeBytes: POOL_BYTES,
    cachePolicy: "LRU",
    localDiskPaths: [],
    maxLocalDiskSizeBytes: 0,
    stallTimeoutMs: 200,
  });
});
afterEach(() => server.close(0));

/** Sends frames on one connection until the server has had enough of it. @returns how many */
async function abuse(dice: Dice): Promise<number> {
  using client = await RawClient.connect(server.port);
  client.socket.removeAllListeners("data").resume();
  let isClosed = false;
  void client.closed().then(() => (isClosed = true));
  let numSent = 0;
  while (!isClosed && numSent < MAX_FRAMES_OF_A_CLIENT) {
    const frames = Array.from({ length: 1 + dice.roll(4) }, () => anyFrame(dice));
    numSent += frames.length;
    await Promise.race([client.send(Buffer.concat(frames)), client.closed()]);
    if (dice.roll(20) === 0) break;
  }
  return numSent;
}

test(`${NUM_FRAMES} fuzzed frames harm nobody but their senders`, async () => {
  let numLeft = NUM_FRAMES;
  let isOver = false;
  let numMisses = 0;
  const honest = async (): Promise<number> => {
    using client = await RawClient.connect(server.port);
    let numRounds = 0;
    for (; !isOver; numRounds++) {
      const value = Buffer.alloc(1000 + (numRounds % 5000), numRounds);
      await client.send(putFrame("honest", value));
      const { head, body } = await client.ask(frame("get", "honest"));
      // Room for others is made beside what goes first: even the newest value may be in the way.
      if (head.code === 400) numMisses++;
      else if (!body.equals(value)) throw new Error(`Round ${numRounds} got other bytes`);
    }
    return numRounds;
  };
  const attackers = Array.from({ length: NUM_CLIENTS }, async (_, index) => {
    const dice = new Dice(SEED * 1000 + index);
    while (numLeft > 0) numLeft -= await abuse(dice);
  });
  const [numRounds] = await Promise.all([
    honest(),
    Promise.all(attackers).finally(() => (isOver = true)),
  ]);
  expect(numRounds).toBeGreaterThan(10);
  expect(numMisses).toBeLessThan(1 + numRounds / 100);

  await expect.poll(() => server.stats().numConnections, { timeout: 10_000 }).toBe(0);
  const { pool, tiers } = server.stats();
  expect(pool.incomingBytes).toBe(0);
  expect(pool.usedBytes).toBe(tiers["LocalCPUBackend"]!.usedBytes);
  expect(pool.peakUsedBytes).toBeLessThanOrEqual(POOL_BYTES);
}, 3_600_000);
