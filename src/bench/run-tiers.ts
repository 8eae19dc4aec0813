import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../core/index.ts";
import { MappedMemory, MemoryPool } from "../memory/index.ts";
import { CpuTier, DiskTier, createPolicy, type Tier } from "../tiers/index.ts";
import { type Contest, runContest } from "./contest.ts";
import { observeMachine } from "./machine.ts";
import { PlainFiles } from "./plain-files.ts";
import type { Progress } from "./progress.ts";
import {
  SAMPLE_CHUNK_TOKENS,
  type SampleChunk,
  sampleChunks,
  sampleKeyer,
  sampleTokens,
} from "./sample-chunks.ts";
import { summarize } from "./statistics.ts";
import { cpuGet, cpuPut, diskGet, diskPut } from "./tier-contests.ts";
import type { TierContestResult, TierLookup, TiersReport } from "./tiers-report.ts";

export interface TiersSettings {
  /** Where the disk tier and the plain files are put, in a directory of their own. */
  readonly directory: string;
  /** Whole pages. */
  readonly payloadBytes: number;
  readonly numChunks: number;
  readonly concurrency: number;
  readonly numRounds: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** 15,360 tokens. */
const NUM_LOOKUP_CHUNKS = 60;
const NUM_LOOKUPS = 50;

/** Slabs beside the chunks themselves: what is being read. */
const SPARE_SLABS = 64;

/** Each tier against the plain way to move the same bytes. */
export async function runTiers(settings: TiersSettings): Promise<TiersReport> {
  const startedAt = new Date().toISOString();
  const describeMachine = observeMachine();
  const samples = sampleChunks(settings.numChunks, settings.payloadBytes);
  const chunkBytes = samples[0]!.bytes.byteLength;
  const numSlabs = 2 * samples.length + SPARE_SLABS;
  using pool = new MemoryPool(new MappedMemory(numSlabs * chunkBytes), chunkBytes);
  settings.progress.show("pinning memory");
  await pool.memory.pin();

  const arena: Arena = { settings, samples, pool, contests: [], lookups: [], clock: systemClock };
  await measureCpu(arena);
  const directory = await mkdtemp(join(settings.directory, "warmkv-bench-tiers-"));
  try {
    await measureDisk(arena, directory, false);
    if (process.platform === "linux") await measureDisk(arena, directory, true);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  settings.progress.hide();
  pool.assertAllFree();
  return {
    benchmark: "tiers",
    version: 1,
    startedAt,
    machine: describeMachine(),
    directory: settings.directory,
    chunkBytes,
    numChunks: samples.length,
    concurrency: settings.concurrency,
    contests: arena.contests,
    lookups: arena.lookups,
  };
}

interface Arena {
  readonly settings: TiersSettings;
  readonly samples: readonly SampleChunk[];
  readonly pool: MemoryPool;
  readonly clock: Clock;
  readonly contests: TierContestResult[];
  readonly lookups: TierLookup[];
}

async function measureCpu(arena: Arena): Promise<void> {
  const { pool, samples, settings } = arena;
  await using tier = new CpuTier({ pool, policy: createPolicy("LRU") });
  {
    using put = cpuPut(tier, pool, samples);
    await compete(arena, "CPU RAM", "put", "memcpy", put);
  }
  {
    using get = cpuGet(tier, pool, samples, settings.signal);
    await compete(arena, "CPU RAM", "get", "memcpy", get);
  }
  await measureLookup(arena, "CPU RAM", tier);
}

async function measureDisk(arena: Arena, directory: string, useOdirect: boolean): Promise<void> {
  const { pool, samples, settings } = arena;
  const { concurrency, signal } = settings;
  const name = useOdirect ? "disk O_DIRECT" : "disk";
  const files = new PlainFiles({ directory, useOdirect, concurrency });
  const totalBytes = samples.length * pool.slabBytes;
  await using tier = await DiskTier.open({
    paths: [join(directory, useOdirect ? "direct" : "buffered")],
    maxSizeBytes: 2 * totalBytes,
    maxInFlightBytes: totalBytes,
    modelName: "bench",
    pool,
    policy: createPolicy("LRU"),
    useOdirect,
    numIoThreads: concurrency,
  });
  {
    using put = diskPut(tier, files, pool, samples);
    await compete(arena, name, "put", "plain files", put);
  }
  await compete(arena, name, "get", "plain files", diskGet(tier, files, pool, samples, signal));
  await measureLookup(arena, name, tier);
}

async function compete(
  arena: Arena,
  tier: string,
  operation: "put" | "get",
  against: string,
  contest: Contest,
): Promise<void> {
  const { numRounds, signal, progress } = arena.settings;
  progress.show(`${tier}: ${operation} against ${against}`);
  const result = await runContest(contest, numRounds, arena.clock, signal);
  arena.contests.push({ tier, operation, against, ...result });
}

async function measureLookup(arena: Arena, tier: string, of: Tier): Promise<void> {
  const numChunks = Math.min(NUM_LOOKUP_CHUNKS, arena.samples.length);
  const numTokens = numChunks * SAMPLE_CHUNK_TOKENS;
  const tokens = sampleTokens(numTokens);
  const lookupsMs: number[] = [];
  for (let lookup = 0; lookup < NUM_LOOKUPS; lookup++) {
    const startMs = arena.clock.nowMs();
    const keys = sampleKeyer()
      .spans(tokens, false)
      .map(({ key }) => key);
    const numFound = await of.lookup(keys);
    lookupsMs.push(arena.clock.nowMs() - startMs);
    if (numFound < numChunks) throw new Error(`${tier} found ${numFound} of ${numChunks} chunks`);
  }
  arena.lookups.push({ tier, numChunks, numTokens, lookupMs: summarize(lookupsMs) });
}
