import { loadCacheConfig } from "../config/index.ts";
import { createConnector } from "../connector/index.ts";
import { MiB, silentLogger, subscribe } from "../core/index.ts";
import {
  type Engine,
  type GenerateRequest,
  defaultSamplingParams,
  loadLlamaEngine,
} from "../engine/index.ts";
import { type PlainReadsOptions, timePlainReads } from "./plain-reads.ts";
import { type PlainTransfersOptions, timePlainTransfers } from "./plain-transfers.ts";
import { median } from "./statistics.ts";

/** The least a warm request can take: its KV must be moved once, and one token must be computed. */
export interface Floor {
  readonly numTokens: number;
  /** KV of the prompt in the engine's memory. */
  readonly kvBytes: number;
  /** One plain copy of that many bytes, from memory to memory. Median. */
  readonly memcpyMs: number;
  /** Reading that many bytes from plain files, where the cache is on disk alone. Median. */
  readonly readMs: number | undefined;
  /** Fetching that many bytes over the loopback's TCP, where the cache is a remote store alone. Median. */
  readonly transferMs: number | undefined;
  /** One step of the engine that computes one token behind that many, right after such a copy. Median. */
  readonly decodeMs: number;
  /** The copy, or the read or transfer where that takes longer, and the step. */
  readonly totalMs: number;
  /** Computing the KV in the engine, without a server around it. */
  readonly prefillMs: number;
  /** The same prompt again, out of CPU RAM, in the same process: what the library adds to the floor. Median. */
  readonly libraryMs: number;
}

/** How the KV gets into the engine. */
export type FloorMove = "copy" | "read" | "transfer";

/** The one that takes longest, which is what the floor counts. */
export function floorMove({ memcpyMs, readMs = 0, transferMs = 0 }: Floor): FloorMove {
  if (Math.max(readMs, transferMs) <= memcpyMs) return "copy";
  return transferMs > readMs ? "transfer" : "read";
}

export interface FloorOptions {
  /** First file of the model. */
  readonly modelPath: string;
  readonly numTokens: number;
  readonly numThreads: number;
  /** Undefined: the cache is not on disk alone. */
  readonly disk?: Omit<PlainReadsOptions, "numBytes"> | undefined;
  /** Undefined: the cache is not a remote store alone. */
  readonly remote?: PlainTransfersOptions | undefined;
  readonly signal: AbortSignal;
}

const NUM_DECODES = 15;
const NUM_WARM_REQUESTS = 15;
/** At the end of a prompt, before its tail, and on the way. */
const NUM_STATES = 8;

/**
 * Runs the same engine as the server, without a server: a prompt of that length, then single tokens,
 * then the prompt again.
 *
 * @returns undefined for models whose KV cannot be moved
 */
export async function measureFloor(options: FloorOptions): Promise<Floor | undefined> {
  const { modelPath, numTokens, numThreads, disk, remote, signal } = options;
  let kvBytes: number | undefined;
  await using engine = await loadLlamaEngine({
    modelPath,
    weightsFingerprint: "0".repeat(32),
    modelName: "floor",
    maxModelLen: numTokens + NUM_DECODES + 1,
    maxNumSeqs: 1,
    numThreads,
    enablePrefixCaching: false,
    // Nothing may be computed beside the copies.
    decodesAhead: false,
    logger: silentLogger,
    connect: async (layout) => {
      const tokenBytes = layout.tokenPartBytes(numTokens);
      const stateBytes = layout.statePartBytes(numTokens);
      kvBytes = tokenBytes + stateBytes;
      // Room for the prompt, its state here and there, the headers of its chunks and a rest.
      const roomBytes = 2 * tokenBytes + NUM_STATES * stateBytes;
      const maxLocalCpuSize = `${Math.ceil(roomBytes / MiB) + 16}MiB`;
      const cache = loadCacheConfig({
        env: {},
        cwd: process.cwd(),
        overrides: { maxLocalCpuSize },
      });
      const connection = { config: cache.config, layout, logger: silentLogger };
      return (await createConnector(connection)).connector;
    },
  });
  if (kvBytes === undefined) return undefined;
  const { prefillMs, decodeMs, memcpyMs } = await timeSteps(engine, numTokens, kvBytes, signal);
  const libraryMs = await timeWarmRequests(engine, numTokens, signal);
  const readMs = disk && (await timePlainReads({ ...disk, numBytes: kvBytes }));
  const transferMs = remote && (await timePlainTransfers(remote, kvBytes, signal));
  const moveMs = Math.max(memcpyMs, readMs ?? 0, transferMs ?? 0);
  const totalMs = moveMs + decodeMs;
  const moves = { memcpyMs, readMs, transferMs };
  return { numTokens, kvBytes, ...moves, decodeMs, totalMs, prefillMs, libraryMs };
}

async function timeWarmRequests(
  engine: Engine,
  numTokens: number,
  signal: AbortSignal,
): Promise<number> {
  const timesMs: number[] = [];
  for (let index = 0; index < NUM_WARM_REQUESTS; index++) {
    const startMs = performance.now();
    for await (const _ of engine.generate(requestOf(engine, numTokens, 1), signal));
    timesMs.push(performance.now() - startMs);
  }
  return median(timesMs);
}

function requestOf(engine: Engine, numTokens: number, maxTokens: number): GenerateRequest {
  return {
    id: "floor",
    promptTokens: somePrompt(numTokens, engine.model.vocabSize),
    sampling: { ...defaultSamplingParams, temperature: 0, maxTokens, ignoreEos: true },
  };
}

/**
 * Prefill, then decode steps with a copy of the KV's size before each: the two follow each other in a warm
 * request, where the copy has driven the weights out of the CPU's caches.
 */
async function timeSteps(
  engine: Engine,
  numTokens: number,
  kvBytes: number,
  signal: AbortSignal,
): Promise<Pick<Floor, "prefillMs" | "decodeMs" | "memcpyMs">> {
  // Filled, so that every page is there: page faults take longer than the copy.
  const source = Buffer.alloc(kvBytes, 1);
  const target = Buffer.alloc(kvBytes, 2);
  const decodesMs: number[] = [];
  const copiesMs: number[] = [];
  let prefillMs = 0;
  let numPrefilled = 0;
  // The engine tells of a step before it begins the next one.
  const unsubscribe = subscribe("warmkv:engine:step", (step) => {
    if (numPrefilled < numTokens) prefillMs += step.durationMs;
    else if (copiesMs.length > 0) decodesMs.push(step.durationMs);
    numPrefilled += step.numTokens;
    if (numPrefilled < numTokens) return;
    const startMs = performance.now();
    source.copy(target);
    copiesMs.push(performance.now() - startMs);
  });
  try {
    const request = requestOf(engine, numTokens, NUM_DECODES + 1);
    for await (const _ of engine.generate(request, signal));
  } finally {
    unsubscribe();
  }
  return { prefillMs, decodeMs: median(decodesMs), memcpyMs: median(copiesMs) };
}

/** Which tokens they are does not change how long they take. */
function somePrompt(numTokens: number, vocabSize: number): Int32Array {
  return Int32Array.from({ length: numTokens }, (_, position) => (position * 7919) % vocabSize);
}
