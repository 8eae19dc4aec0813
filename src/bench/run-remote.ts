import { randomBytes } from "node:crypto";
import {
  type Clock,
  KiB,
  UsageError,
  formatBytes,
  silentLogger,
  systemClock,
} from "../core/index.ts";
import {
  type RemoteCall,
  type RemoteOptions,
  type RemoteStore,
  openRemote,
} from "../remotes/index.ts";
import { observeMachine } from "./machine.ts";
import type { Progress } from "./progress.ts";
import { type RedisBenchmarkResult, runRedisBenchmark } from "./redis-benchmark.ts";
import type { RemoteLookup, RemoteReport, RemoteTransfer } from "./remote-report.ts";
import { TcpFloor } from "./tcp-floor.ts";
import { TransferMeter } from "./transfer-meter.ts";

export interface RemoteSettings {
  readonly url: string;
  /** See RemoteOptions. */
  readonly token: string | undefined;
  readonly valueSizesBytes: readonly number[];
  readonly concurrencies: readonly number[];
  /** Moved in each direction in each round. The store must have room for it. */
  readonly roundBytes: number;
  readonly numRounds: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Starts what the remote is compared with; default: another process. */
  readonly startFloor?: ((numLanes: number, signal: AbortSignal) => Promise<TcpFloor>) | undefined;
}

const TIMEOUT_MS = 30_000;
const LOOKUP_SIZES = [1, 256];
const NUM_LOOKUPS = 200;
/** Processes that have been running for a while are what people have: their code is compiled. */
const NUM_WARM_UPS = 4096;
const WARM_UP_BYTES = 64 * KiB;

/** Puts, gets and looks up values of each size, so many at a time, in turns with plain TCP. */
export async function runRemote(settings: RemoteSettings): Promise<RemoteReport> {
  const startedAt = new Date().toISOString();
  const describeMachine = observeMachine();
  const { concurrencies, valueSizesBytes, signal } = settings;
  const numLanes = Math.max(...concurrencies);
  const startFloor = settings.startFloor ?? ((lanes, ends) => TcpFloor.start(lanes, ends));
  await using floor = await startFloor(numLanes, signal);
  await using store = await openRemote(settings.url, optionsOf(settings, numLanes));
  const arena: Arena = { settings, store, floor, clock: systemClock, name: runName() };

  await warmUp(arena);
  const transfers: RemoteTransfer[] = [];
  for (const valueBytes of valueSizesBytes) {
    for (const concurrency of concurrencies) {
      transfers.push(...(await measureTransfers(arena, valueBytes, concurrency)));
    }
  }
  const lookups: RemoteLookup[] = [];
  for (const numNames of LOOKUP_SIZES) {
    for (const concurrency of concurrencies) {
      lookups.push(await measureLookups(arena, numNames, concurrency));
    }
  }
  const redisBenchmark = await runRival(settings);
  settings.progress.hide();
  return {
    benchmark: "remote",
    version: 1,
    startedAt,
    machine: describeMachine(),
    address: store.address,
    numRounds: settings.numRounds,
    transfers,
    lookups,
    redisBenchmark,
  };
}

interface Arena {
  readonly settings: RemoteSettings;
  readonly store: RemoteStore;
  readonly floor: TcpFloor;
  readonly clock: Clock;
  /** In front of all names of this run: a held name would be put without being sent. */
  readonly name: string;
}

/** Small values, each put in place of no other, through the store and through plain TCP alike. */
async function warmUp({ settings, store, floor, name }: Arena): Promise<void> {
  const { signal, progress } = settings;
  progress.show("warming up");
  const call: RemoteCall = { signal, priority: "get" };
  const memory = Buffer.alloc(WARM_UP_BYTES, 1);
  for (let index = 0; index < NUM_WARM_UPS; index++) {
    signal.throwIfAborted();
    const valueName = `${name}-warm-up-${index}`;
    await floor.put(0, memory);
    await store.put(valueName, memory, call);
    await floor.get(0, memory);
    await store.get(valueName, () => memory, call);
    await store.remove([valueName], call);
  }
}

async function measureTransfers(
  arena: Arena,
  valueBytes: number,
  concurrency: number,
): Promise<RemoteTransfer[]> {
  const { settings, store, floor, clock, name } = arena;
  const { numRounds, signal, progress } = settings;
  progress.show(`${formatBytes(valueBytes)}, ${concurrency} at once`);
  const call: RemoteCall = { signal, priority: "get" };
  const numValues = Math.max(2 * concurrency, Math.ceil(settings.roundBytes / valueBytes));
  // Filled: memory that was never touched is many times slower.
  const memory = Array.from({ length: concurrency }, (_, lane) =>
    Buffer.alloc(valueBytes, lane + 1),
  );
  const newMeter = (): TransferMeter => new TransferMeter(clock, valueBytes);
  const newMeters = () => ({
    put: newMeter(),
    get: newMeter(),
    floorPut: newMeter(),
    floorGet: newMeter(),
  });
  const meters = newMeters();

  for (let round = -1; round < numRounds; round++) {
    signal.throwIfAborted();
    // The first round is not counted.
    const to = round < 0 ? newMeters() : meters;
    const nameOf = (index: number): string =>
      `${name}-${valueBytes}-${concurrency}-${round}-${index}`;
    const steps = [
      () => to.floorPut.round(concurrency, numValues, (lane) => floor.put(lane, memory[lane]!)),
      () =>
        to.put.round(concurrency, numValues, async (lane, index) => {
          const isStored = await store.put(nameOf(index), memory[lane]!, call);
          if (!isStored) throw noRoom(store, numValues * valueBytes);
        }),
    ];
    // Who is first changes, so that what drifts on the machine hits both alike.
    for (const step of round % 2 === 0 ? steps : steps.toReversed()) await step();
    await to.floorGet.round(concurrency, numValues, (lane) => floor.get(lane, memory[lane]!));
    await to.get.round(concurrency, numValues, async (lane, index) => {
      const byteLength = await store.get(nameOf(index), () => memory[lane]!, call);
      if (byteLength !== valueBytes) throw noRoom(store, numValues * valueBytes);
    });
    const names = Array.from({ length: numValues }, (_, index) => nameOf(index));
    await store.remove(names, call);
  }
  return (["put", "get"] as const).map((operation) => {
    const remote = meters[operation].speed();
    const plain = (operation === "put" ? meters.floorPut : meters.floorGet).speed();
    const shareOfFloor = remote.gibPerSecond.median / plain.gibPerSecond.median;
    return { operation, valueBytes, concurrency, remote, floor: plain, shareOfFloor };
  });
}

async function measureLookups(
  { settings, store, clock, name }: Arena,
  numNames: number,
  concurrency: number,
): Promise<RemoteLookup> {
  const { numRounds, signal, progress } = settings;
  progress.show(`lookup of ${numNames}, ${concurrency} at once`);
  const call: RemoteCall = { signal, priority: "lookup" };
  const names = Array.from({ length: numNames }, (_, index) => `${name}-lookup-${index}`);
  const value = Buffer.alloc(1024, 1);
  for (const each of names) await store.put(each, value, call);
  const meter = new TransferMeter(clock, 1);
  const lookup = async (): Promise<void> => {
    const numFound = await store.lookup(names, call);
    if (numFound !== numNames) throw noRoom(store, numNames * value.byteLength);
  };
  await new TransferMeter(clock, 1).round(concurrency, NUM_LOOKUPS, lookup);
  for (let round = 0; round < numRounds; round++) {
    await meter.round(concurrency, NUM_LOOKUPS, lookup);
  }
  await store.remove(names, call);
  return { numNames, concurrency, ...meter.rate() };
}

async function runRival(settings: RemoteSettings): Promise<RedisBenchmarkResult[]> {
  const { url, valueSizesBytes, concurrencies, roundBytes, signal, progress } = settings;
  const results: RedisBenchmarkResult[] = [];
  for (const valueBytes of valueSizesBytes) {
    for (const concurrency of concurrencies) {
      progress.show(`redis-benchmark, ${formatBytes(valueBytes)}, ${concurrency} at once`);
      const numValues = Math.ceil(roundBytes / valueBytes);
      const found = await runRedisBenchmark(url, valueBytes, concurrency, numValues, signal);
      if (found === undefined) return [];
      results.push(...found);
    }
  }
  return results;
}

function optionsOf({ token }: RemoteSettings, numLanes: number): RemoteOptions {
  return {
    timeoutMs: TIMEOUT_MS,
    // Puts leave one connection to others.
    maxConnections: numLanes + 1,
    token,
    logger: silentLogger,
    clock: systemClock,
    random: Math.random,
  };
}

function runName(): string {
  return `warmkv-bench-${randomBytes(4).toString("hex")}`;
}

function noRoom({ address }: RemoteStore, neededBytes: number): UsageError {
  return new UsageError(
    `${address} does not hold what was put: wanted room for ${formatBytes(neededBytes)} at a time, or give a smaller --bytes`,
  );
}
