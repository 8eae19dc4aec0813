import { loadCacheConfig } from "../config/index.ts";
import { type Clock, systemClock } from "../core/index.ts";
import { resolveModel } from "../models/index.ts";
import {
  type BenchServer,
  connectServer,
  DEFAULT_MODEL,
  type OwnServerOptions,
  SPARE_TOKENS,
  startOwnServer,
} from "./bench-server.ts";
import { type Floor, type FloorOptions, measureFloor } from "./floor.ts";
import { formatCount } from "./format.ts";
import { observeMachine } from "./machine.ts";
import type { CompletionTiming } from "./openai-timing.ts";
import type { Progress } from "./progress.ts";
import { freshHeading, readBundledText } from "./prompt-text.ts";
import { makeQueryTwiceReport, type QueryTwiceReport } from "./query-twice-report.ts";
import { queryTwice, type QueryTwiceOptions, sendPrompt } from "./query-twice.ts";
import { estimateTokens, serverTokenCounter } from "./token-counter.ts";

export interface BenchSettings {
  /** A server that runs already; undefined to start one. */
  readonly url: string | undefined;
  readonly apiKey: string;
  /** What to serve; with a URL, the name to ask for. */
  readonly model: string | undefined;
  readonly numPromptTokens: number;
  readonly maxTokens: number;
  readonly numRounds: number;
  readonly numWarmRequests: number;
  readonly numThreads: number;
  readonly serveArgs: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Enough to wake a server up, and to see how many characters its tokens have. */
const WARM_UP_CHARACTERS = 400;
const WARM_UP_TOKENS = 4;
/** A server that has been running for a while is what people have: its code is compiled. */
const NUM_WARM_UPS = 20;

const CACHE_LOG_LINE = /LMCache hit tokens|Retrieved \d/;
const MAX_CACHE_LOG_LINES = 100;

/** The whole benchmark: a server, a prompt sent twice in each round, then the floor. */
export async function runQueryTwice(settings: BenchSettings): Promise<QueryTwiceReport> {
  const startedAt = new Date().toISOString();
  const describeMachine = observeMachine();
  const server = await openServer(settings);
  let rounds;
  try {
    const prepared = await prepare(server, settings);
    rounds = await queryTwice({
      ...prepared,
      numRounds: settings.numRounds,
      numWarmRequests: settings.numWarmRequests,
      onRequest: (phase, round) => {
        const place =
          settings.numRounds > 1 ? ` (round ${round + 1} of ${settings.numRounds})` : "";
        settings.progress.show(
          phase === "cold"
            ? `cold: computing ${formatCount(settings.numPromptTokens)} prompt tokens${place}`
            : `warm: the same prompt again${place}`,
        );
      },
    });
  } finally {
    await server[Symbol.asyncDispose]();
  }
  const floor = server.args
    ? await measureOwnFloor(settings, rounds[0]!.numPromptTokens)
    : undefined;
  settings.progress.hide();
  return makeQueryTwiceReport({
    startedAt,
    machine: describeMachine(),
    server: { url: server.baseUrl, model: settings.model ?? server.model, args: server.args },
    requestedPromptTokens: settings.numPromptTokens,
    maxTokens: settings.maxTokens,
    rounds,
    floor,
    cacheLogLines: server.logLines
      .filter((line) => CACHE_LOG_LINE.test(line))
      .slice(0, MAX_CACHE_LOG_LINES),
  });
}

/** Undefined when the server had flags that the floor's engine does not know of. */
async function measureOwnFloor(
  settings: BenchSettings,
  numTokens: number,
): Promise<Floor | undefined> {
  const { serveArgs, numThreads, env, signal } = settings;
  if (serveArgs.length > 0) return undefined;
  settings.progress.show("floor: what one copy of the KV and one decode step take");
  const { path } = await resolveModel(settings.model ?? DEFAULT_MODEL, { signal });
  return measureFloor({ modelPath: path, numTokens, numThreads, ...storeAlone(env), signal });
}

/** Where warm requests come from when CPU RAM keeps nothing. */
function storeAlone(env: NodeJS.ProcessEnv): Pick<FloorOptions, "disk" | "remote"> {
  const { config } = loadCacheConfig({ env, cwd: process.cwd() });
  if (config.localCpu) return {};
  const { useOdirect, diskIoThreads, remoteMaxConnections } = config.extraConfig;
  const [directory] = config.localDiskPaths;
  if (directory !== undefined)
    return { disk: { directory, useOdirect, concurrency: diskIoThreads } };
  return config.remoteUrl === undefined ? {} : { remote: { numConnections: remoteMaxConnections } };
}

async function openServer(settings: BenchSettings): Promise<BenchServer> {
  const { url, apiKey, model, signal } = settings;
  if (url !== undefined) return connectServer({ url, apiKey, model, signal });
  return openOwnServer(settings, true);
}

/** One of our own, with the cache on or off. */
export function openOwnServer(settings: BenchSettings, isCacheOn: boolean): Promise<BenchServer> {
  const { numThreads, serveArgs, env, signal } = settings;
  const model = settings.model ?? DEFAULT_MODEL;
  settings.progress.show(`starting warmkv serve ${model}`);
  const options: OwnServerOptions = {
    model,
    // The warm-up may be longer than the prompt, and each of its characters a token.
    maxModelLen:
      Math.max(settings.numPromptTokens + settings.maxTokens, WARM_UP_CHARACTERS) + SPARE_TOKENS,
    numThreads,
    isCacheOn,
    serveArgs,
    env,
    signal,
  };
  return startOwnServer(options);
}

type Prepared = Omit<QueryTwiceOptions, "numRounds" | "numWarmRequests" | "onRequest">;

/** Wakes the server up with a short prompt and learns how it counts tokens. */
export async function prepare(server: BenchServer, settings: BenchSettings): Promise<Prepared> {
  const { signal, numPromptTokens, maxTokens } = settings;
  settings.progress.show("warming up");
  const source = await readBundledText();
  const clock: Clock = systemClock;
  const common = { client: server.client, model: server.model, clock, signal };
  const text = freshHeading() + source.slice(0, WARM_UP_CHARACTERS);
  const warmUp = (): Promise<CompletionTiming> =>
    sendPrompt({ ...common, maxTokens: WARM_UP_TOKENS }, { text, numTokens: 0 });
  // The first goes into the cache, the others come out of it.
  const { numPromptTokens: numWarmUpTokens } = await warmUp();
  for (let count = 1; count < NUM_WARM_UPS; count++) await warmUp();
  const countTokens =
    (await serverTokenCounter(server, signal)) ?? estimateTokens(text, numWarmUpTokens);
  return { ...common, source, countTokens, numPromptTokens, maxTokens, nextHeading: freshHeading };
}
